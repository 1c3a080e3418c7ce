//! Latency by percentile, as SVG: each step to the right is a tenth of the answers that are left, as HdrHistogram draws it.

use hdrhistogram::Histogram;
use plotters::prelude::{
    BLACK, ChartBuilder, Color, IntoDrawingArea, IntoLogRange, LineSeries, PathElement, RGBColor, SVGBackend,
    SeriesLabelPosition, WHITE,
};

/// Pixels.
const SIZE: (u32, u32) = (960, 540);
const MARGIN: u32 = 24;
const LABELS: u32 = 56;
const KEY: i32 = 20;

/// The y axis ends a little above the slowest answer.
const HEADROOM: f64 = 1.05;

/// Points on a curve for each tenth; enough to look smooth.
const STEPS: u32 = 40;

/// Told apart by colour-blind readers, too.
const COLOURS: [RGBColor; 3] = [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115)];

/// A picture of the curves.
pub fn svg(title: &str, curves: &[(&str, &Histogram<u64>)]) -> anyhow::Result<String> {
    let curves: Vec<_> = curves.iter().map(|(name, latency)| (*name, points(latency))).collect();
    let ends = || curves.iter().filter_map(|(_, points)| points.last());
    let right = ends().map(|(left, _)| *left).fold(10.0, f64::max);
    let top = ends().map(|(_, millis)| *millis).fold(f64::MIN_POSITIVE, f64::max);
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 20))
            .margin(MARGIN)
            .x_label_area_size(LABELS)
            .y_label_area_size(LABELS)
            .build_cartesian_2d((1.0..right).log_scale(), 0.0..top * HEADROOM)?;
        chart
            .configure_mesh()
            .x_desc("percentile")
            .y_desc("milliseconds")
            .x_label_formatter(&|left| percentile(*left))
            .max_light_lines(0)
            .draw()?;
        for ((name, points), colour) in curves.iter().zip(COLOURS.iter().cycle()) {
            let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
            let key = |(x, y)| PathElement::new(vec![(x, y), (x + KEY, y)], colour.stroke_width(2));
            chart.draw_series(line)?.label(*name).legend(key);
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()?;
        area.present()?;
    }
    Ok(text)
}

/// From 1 to the number of answers: (how many times fewer are slower, milliseconds).
fn points(latency: &Histogram<u64>) -> Vec<(f64, f64)> {
    let all = latency.len() as f64;
    let steps = (0..).map(|step| 10_f64.powf(f64::from(step) / f64::from(STEPS)));
    let lefts = steps.take_while(|left| *left < all).chain([all.max(1.0)]);
    lefts.map(|left| (left, latency.value_at_quantile(1.0 - left.recip()) as f64 / 1e3)).collect()
}

/// 1 → `0%`, 10 → `90%`, 1000 → `99.9%`.
fn percentile(left: f64) -> String {
    let digits = (left.log10().round() as usize).saturating_sub(2);
    format!("{:.digits$}%", 100.0 * (1.0 - left.recip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency(micros: impl Iterator<Item = u64>) -> Histogram<u64> {
        let mut latency = Histogram::new(3).unwrap();
        micros.for_each(|one| latency.record(one).unwrap());
        latency
    }

    #[test]
    fn a_curve_goes_from_the_fastest_to_the_slowest() {
        let points = points(&latency(1..=10_000));
        assert_eq!(points.first(), Some(&(1.0, 0.001)));
        let (left, slowest) = points.last().copied().unwrap();
        assert!((left, slowest.round()) == (10_000.0, 10.0), "{left} {slowest}");
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
        let tenth = points.iter().find(|(left, _)| (left - 10.0).abs() < 1e-9).unwrap();
        assert!((tenth.1 - 9.0).abs() < 0.02, "{tenth:?}");
    }

    #[test]
    fn percentiles_are_named_by_what_is_left() {
        let named = [1.0, 10.0, 100.0, 1_000.0, 100_000.0].map(percentile);
        assert_eq!(named, ["0%", "90%", "99%", "99.9%", "99.999%"]);
    }

    #[test]
    fn the_same_answers_make_the_same_picture() {
        let (fast, slow) = (latency(1..=5_000), latency((1..=5_000).map(|one| one * 3)));
        let draw = || svg("authorize-commit", &[("Authorize", &fast), ("both", &slow)]).unwrap();
        let drawn = draw();
        assert_eq!(drawn, draw());
        assert!(drawn.starts_with("<svg ") && drawn.trim_end().ends_with("</svg>"));
        for word in ["authorize-commit", "percentile", "milliseconds", "Authorize", "both", "90%", "99.9%"] {
            assert!(drawn.contains(word), "{word}: {drawn}");
        }
        for colour in ["#0072B2", "#D55E00"] {
            let curve = format!("<polyline fill=\"none\" opacity=\"1\" stroke=\"{colour}\"");
            assert_eq!(drawn.matches(&curve).count(), 2, "the curve and its key: {drawn}");
        }
    }

    #[test]
    fn nothing_and_one_answer_are_drawn_too() {
        for micros in [vec![], vec![0], vec![7]] {
            assert!(svg("few", &[("Authorize", &latency(micros.into_iter()))]).is_ok());
        }
    }
}
