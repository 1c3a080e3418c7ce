//! Whether a document may be published: all errors of its writing and of its meaning at once, and all warnings.

use super::document;
use super::finding::{Findings, Place, Report, why};
use super::meaning::Playbook;
use super::tree::{self, Mark, Node};
use super::{compile, rules, warning};

/// Checks a document. The report's `playbook` is what it means, where nothing in it is refused.
pub fn check(source: &str) -> Report {
    let mut findings = Findings::default();
    let f = &mut findings;
    let Some(root) = only_document(source, f) else {
        return findings.report(None);
    };
    let document = document::read(&root, f);
    rules::apply(&document, f);
    warning::warn(&document, f);
    let playbook = if f.refused() == 0 { compile::playbook(&document, source) } else { None };
    findings.report(playbook)
}

/// The meaning of a document that is to be published, or the report of why it is refused.
pub fn load(source: &str) -> Result<Playbook, Report> {
    let mut report = check(source);
    report.playbook.take().map(|playbook| *playbook).ok_or(report)
}

fn only_document(source: &str, f: &mut Findings) -> Option<Node> {
    let (documents, faults) = tree::documents(source);
    let nowhere = Place::default();
    for fault in faults {
        f.plain_error(&nowhere, fault.mark, fault.problem, why::YAML, fault.help);
    }
    let mut documents = documents.into_iter();
    let first = documents.next();
    if let Some(second) = documents.next() {
        let problem = "a second document begins here; a playbook is one".to_owned();
        f.plain_error(&nowhere, second.mark, problem, why::TWICE, "keep one of them".to_owned());
    }
    if first.is_none() && f.refused() == 0 {
        let start = Mark { line: 1, column: 1 };
        f.plain_error(
            &nowhere,
            start,
            "the document is empty".to_owned(),
            why::MISSING,
            "begin with `bursar: 1`".to_owned(),
        );
    }
    first
}

#[cfg(test)]
mod tests {
    //! One row per rule: what is written, and everything that the check says to it.

    use proptest::prelude::*;

    use super::*;
    use crate::playbook::finding::Severity;

    const WHOLE: &str = include_str!("../../tests/playbook/whole-language.yaml");

    const CREDIT: &str = "{unit: output, price: 0.10, currency: USD}";
    const GOVERNED: &str =
        "caps: [{name: c, per: user, limit: 5, every: day}], alerts: [{name: low, cap: c, reaches: 80%}]";

    fn document(credit: &str, actions: &str, plans: &str) -> String {
        format!(
            "bursar: 1\nplaybook: p\nversion: 1\ncredit: {credit}\nactions: {{{actions}}}\nplans: {{{plans}}}\n"
        )
    }

    fn with_action(keys: &str) -> String {
        document(CREDIT, &format!("draft: {{{keys}}}"), &format!("basic: {{{GOVERNED}}}"))
    }

    fn with_plan(keys: &str) -> String {
        document(CREDIT, "draft: {weight: 1}", &format!("basic: {{{GOVERNED}, {keys}}}"))
    }

    fn without_governance(keys: &str) -> String {
        document(CREDIT, "draft: {weight: 1}", &format!("basic: {{{keys}}}"))
    }

    /// Each finding as `error[C5] path: problem`.
    fn said(source: &str) -> Vec<String> {
        let report = check(source);
        let refused = report.findings.iter().any(|finding| finding.severity != Severity::Warning);
        assert_eq!(report.is_sound(), !refused, "{source}");
        for finding in &report.findings {
            assert!(finding.line > 0 && finding.column > 0, "{finding}");
            assert!(!finding.help.is_empty() && finding.why.ends_with('.'), "{finding}");
        }
        report
            .findings
            .iter()
            .map(|finding| {
                let word = finding.severity.word();
                let choice = finding.choice.map_or_else(String::new, |choice| format!("[{choice}]"));
                format!("{word}{choice} {}: {}", finding.path, finding.problem)
            })
            .collect()
    }

    fn expect(rows: &[(String, &[&str])]) {
        for (source, want) in rows {
            assert_eq!(said(source), *want, "{source}");
        }
    }

    #[test]
    fn the_whole_language_is_accepted() {
        let report = check(WHOLE);
        assert_eq!(report.choices(Severity::Error), Vec::<String>::new(), "{}", report.in_file("whole"));
        assert_eq!(report.choices(Severity::Warning), ["C5"], "{}", report.in_file("whole"));
    }

    #[test]
    fn unknown_keys_are_refused_with_the_nearest_known_one() {
        let source = with_action("wieght: 2, weight: 1, colour: red");
        let report = check(&source);
        assert_eq!(
            report.in_file("p.yaml").to_string(),
            "p.yaml:5:19: error: actions.draft.wieght: unknown key `wieght`\n  why: a key that nothing reads is a rule that nobody keeps, though whoever wrote it \
             counts on it.\n  help: did you mean `weight`?\n\
             p.yaml:5:41: error: actions.draft.colour: unknown key `colour`\n  why: a key that nothing reads is a rule that nobody keeps, though whoever wrote it \
             counts on it.\n  help: the keys here are `weight`, `quantity`, \
             `per`, `trigger`, `failure`, `cancelled`, `partial`, `lapse`, `retries`, `reserve`, `minimum`, `basic`, \
             `value`, `when`\n"
        );
        expect(&[
            (with_plan("ovrage: []"), &["error plans.basic.ovrage: unknown key `ovrage`"]),
            (
                with_plan("overage: [{soft: {upto: 5}}]"),
                &["error plans.basic.overage[0].soft.upto: unknown key `upto`"],
            ),
            (
                with_plan("allowance: {credits: 5, every: month, <<: 3}"),
                &["error plans.basic.allowance.<<: unknown key `<<`"],
            ),
            (format!("{}colour: red\n", with_plan("price: 0.09")), &["error colour: unknown key `colour`"]),
        ]);
    }

    #[test]
    fn a_dimension_may_be_anything_but_a_mistyped_key() {
        expect(&[
            (with_action("weight: 1, when: [{model: large, beta: true, tier: 1, weight: 2}]"), &[]),
            (
                with_action("weight: 1, when: [{model: large, wieght: 2}]"),
                &["error actions.draft.when[0]: `wieght` is one letter away from the action key `weight`"],
            ),
            (
                with_action("weight: 1, when: [{model: large, when: []}]"),
                &["error actions.draft.when[0]: `when` is one letter away from the action key `when`"],
            ),
            (
                with_action("weight: 1, when: [{model: [a, b]}]"),
                &[
                    "error actions.draft.when[0]: `model` is neither an action key nor a dimension with one value",
                ],
            ),
        ]);
    }

    #[test]
    fn a_slip_of_the_pen_is_told_what_to_write_instead() {
        const WITH: &str = "bursar: 1\nplaybook: p\nversion: 1\ncredit: {unit: output, price: 0.10, currency: USD}\n\
            actions: {draft: {weight: 1}}\nplans: {basic: {PLAN}}\n";
        let cases = [
            ("allowance: {credits: 5,000, every: month}", "numbers have no comma: write `5000`, not `5,000`"),
            ("allowance: {credits: 5 USD, every: month}", "no comma, no unit, no currency"),
            ("allowance: {credits: 5, every: once, lasts: 2w}", "`mo` (months)"),
            ("overage: {soft: {}}", "begin each entry with `- ` on a line of its own"),
        ];
        for (plan, help) in cases {
            let report = check(&WITH.replace("PLAN", plan));
            let mut helps = report.of(Severity::Error).map(|finding| finding.help.as_str());
            assert!(helps.any(|said| said.contains(help)), "{}", report.in_file(plan));
        }
    }

    #[test]
    fn missing_and_malformed_parts_are_all_reported_at_once() {
        expect(&[
            (
                "{}".to_owned(),
                &[
                    "error : the key `bursar` is missing",
                    "error : the key `playbook` is missing",
                    "error : the key `version` is missing",
                    "error : the key `credit` is missing",
                    "error : the key `actions` is missing",
                    "error : the key `plans` is missing",
                ],
            ),
            (
                "bursar: 2\nplaybook: ''\nversion: 1.5\ncredit: {unit: outptu, scale: 10, rounding: off, price: -1, currency: usd}\n\
                 actions: {draft: {}}\nplans: [basic]\neffective: tomorrow\nnotice: 30\ngrandfather: always\n"
                    .to_owned(),
                &[
                    "error bursar: `2` is not a format that this build reads",
                    "error playbook: the name `` is empty",
                    "error[C16] version: `1.5` is not a whole number from 1 to 4294967295",
                    "error[C1] credit.unit: `outptu` is not known here",
                    "error[C1] credit.scale: a balance has at most 9 decimal places, not 10",
                    "error[C4] credit.rounding: `off` is not known here",
                    "error[C4] credit.price: `-1` is negative",
                    "error[C4] credit.currency: `usd` is not a currency",
                    "error actions.draft: the key `weight` is missing",
                    "error plans: this is a list, not a map from names",
                    "error[C16] effective: `tomorrow` is not a day and time with its zone, from 1900 to 2500",
                    "error[C16] notice: `30` is not a length of time up to a hundred years",
                    "error[C16] grandfather: `always` is not known here",
                ],
            ),
            (
                with_plan("price: 1e3, mode: yes, features: [a], includes: draft, anchor: 3"),
                &[
                    "error[C4] plans.basic.price: `1e3` is not a decimal number",
                    "error[C15] plans.basic.mode: `yes` is not known here",
                    "error[C15] plans.basic.features: this is a list, not a map of features such as `{sso: true}`",
                    "error[C15] plans.basic.includes: this is a single value, not a list",
                    "error[C3] plans.basic.anchor: `3` is not known here",
                ],
            ),
            (
                with_plan("price:, allowance: {credits: 1, every: month}"),
                &["error[C4] plans.basic.price: this is nothing, not an amount such as `12.50`"],
            ),
            (String::new(), &["error : the document is empty"]),
            ("# nothing\n".to_owned(), &["error : the document is empty"]),
            (
                format!("{}---\nbursar: 1\n", with_plan("price: 1")),
                &["error : a second document begins here; a playbook is one"],
            ),
            (with_plan("price: 1, price: 2"), &["error : the key `price` stands twice"]),
        ]);
        let said = said("bursar: [1");
        assert!(
            matches!(said.as_slice(), [one] if one.starts_with("error : this is not YAML: ")),
            "{said:?}"
        );
    }

    #[test]
    fn numbers_that_cannot_be_are_errors() {
        expect(&[
            (
                with_action("weight: 1, per: 0"),
                &["error[C4] actions.draft.per: a weight for no units means nothing"],
            ),
            (
                with_action("weight: 10000000000000000"),
                &["error[C4] actions.draft.weight: `10000000000000000` is larger than 1000000000000000"],
            ),
            (
                with_action("weight: 0.0000000001"),
                &["error[C4] actions.draft.weight: `0.0000000001` has more than 9 decimal places"],
            ),
            (
                with_action("weight: 1, failure: 101%"),
                &["error[C2] actions.draft.failure: `101%` is more than all of it"],
            ),
            (
                with_action("weight: 1, failure: 15"),
                &["error[C2] actions.draft.failure: `15` is not a percentage"],
            ),
            (
                with_action("weight: 1, lapse: half"),
                &["error[C2] actions.draft.lapse: `half` is not known here"],
            ),
            (
                with_action("weight: 1, basic: yes"),
                &["error[C5] actions.draft.basic: `yes` is not `true` or `false`"],
            ),
            (
                with_action("weight: 1, reserve: {ttl: 0s}"),
                &["error[C2] actions.draft.reserve.ttl: `0s` is no time at all"],
            ),
            (
                with_action("weight: 1, reserve: {ttl: 10m, longest: 5m}"),
                &[
                    "error[C2] actions.draft.reserve.longest: `5m` is shorter than the time `10m` that a reservation lives at first",
                ],
            ),
            (
                with_action("weight: 1, reserve: {longest: 5m}"),
                &[
                    "error[C2] actions.draft.reserve.longest: `5m` is shorter than the time `15m` that a reservation lives at first",
                ],
            ),
            (
                with_action("weight: {}"),
                &["error[C4] actions.draft.weight: a weight by meters names no meter"],
            ),
            (
                with_plan("allowance: {credits: 0.5, every: month}"),
                &[
                    "error[C3] plans.basic.allowance.credits: `0.5` has more decimal places than a balance, which has 0",
                ],
            ),
            (
                with_plan("allowance: {credits: 5, every: hour}"),
                &["error[C3] plans.basic.allowance.every: `hour` is not known here"],
            ),
            (
                with_plan("allowance: {credits: 5, every: month, lasts: 14d}"),
                &[
                    "error[C3] plans.basic.allowance.lasts: only an allowance that is granted once has `lasts`",
                ],
            ),
            (
                with_plan("draw_order: [subscription, overage, subscription]"),
                &[
                    "error[C10] plans.basic.draw_order[1]: `overage` always comes after all others",
                    "error[C10] plans.basic.draw_order[2]: `subscription` stands twice in the order",
                ],
            ),
            (
                with_plan("offline: {mode: deny, lease: 1mo, wait: 0s}"),
                &[
                    "error plans.basic.offline.lease: `1mo` depends on the calendar, and this is counted on a running clock",
                ],
            ),
            (
                with_plan("offline: {mode: emergency}"),
                &["error plans.basic.offline: the key `emergency` is missing"],
            ),
            (
                with_plan("pooling: {scope: team, personal: 5}"),
                &[
                    "error[C7] plans.basic.pooling.personal: `personal` has no effect unless the scope is `hybrid`",
                ],
            ),
            (
                with_plan("transfers: {between: pools, up_to: 5}"),
                &["error plans.basic.transfers: the key `every` is missing"],
            ),
            (
                with_plan("transfers: {between: pools, every: month}"),
                &["error[C11] plans.basic.transfers.every: `every` has no effect without `up_to`"],
            ),
        ]);
    }

    #[test]
    fn a_meter_that_no_call_could_name_is_an_error() {
        let long = "m".repeat(129);
        expect(&[
            (with_action("weight: {'': 1}"), &["error actions.draft.weight.: the name `` is empty"]),
            (
                with_action(&format!("weight: {{{long}: 1}}")),
                &[&format!(
                    "error actions.draft.weight.{0}…: the name `{0}…` is longer than 128 bytes",
                    "m".repeat(64)
                )],
            ),
            (
                with_action("weight: {\"a\\tb\": 1}"),
                &[
                    "error actions.draft.weight.a\\tb: the name `a\\tb` has the character '\\t', which names may not have",
                ],
            ),
        ]);
    }

    #[test]
    fn names_that_lead_nowhere_are_errors() {
        expect(&[
            (
                with_plan("includes: [drfat]"),
                &["error[C15] plans.basic.includes[0]: there is no action `drfat`"],
            ),
            (
                with_plan("overage: [{top_up: {pack: small}}]"),
                &["error[C5] plans.basic.overage[0].top_up.pack: there is no pack `small`"],
            ),
            (
                without_governance(
                    "caps: [{name: a, per: run, limit: 1}], alerts: [{name: x, cap: b, reaches: 1%}]",
                ),
                &["error[C14] plans.basic.alerts[0].cap: there is no cap `b`"],
            ),
            (
                without_governance(
                    "caps: [{name: a, per: action, match: dratf, limit: 1, every: day}, {name: b, per: action, match: '*.mail', runs: 1, every: day}], \
                     alerts: [{name: x, balance_below: 5}]",
                ),
                &["error[C14] plans.basic.caps[0].match: there is no action `dratf`"],
            ),
            (
                without_governance(
                    "caps: [{name: a, per: run, limit: 1}, {name: a, per: run, limit: 2}], alerts: [{name: x, balance_below: 5}, {name: x, balance_below: 6}]",
                ),
                &[
                    "error[C14] plans.basic.caps[1].name: there are two caps named `a`",
                    "error[C14] plans.basic.alerts[1].name: there are two alerts named `x`",
                ],
            ),
        ]);
    }

    #[test]
    fn the_chain_has_one_link_of_each_kind_and_no_dead_end() {
        expect(&[
            (
                with_plan("overage: [{soft: {}}, {degraded: {}}]"),
                &[
                    "error[C5] plans.basic.overage[1].degraded: `degraded` is never reached: the `soft` before it has no limit",
                ],
            ),
            (with_plan("overage: [{soft: {up_to: 5}}, {degraded: {}}]"), &[]),
            (
                with_plan("overage: [{soft: {up_to: 5}}, {soft: {}}]"),
                &["error[C5] plans.basic.overage[1].soft: `soft` stands twice in the chain"],
            ),
            (
                with_plan("overage: [{soft: {}, degraded: {}}, soft]"),
                &[
                    "error[C5] plans.basic.overage[0]: a link of the chain is a map with exactly one of `top_up`, `borrow`, `soft`, `degraded`",
                    "error[C5] plans.basic.overage[1]: this is a single value, not a map with the keys `top_up`, `borrow`, `soft`, `degraded`",
                ],
            ),
            (
                with_plan("overage: [{degraded: {credits: 5}}]"),
                &["error plans.basic.overage[0].degraded: the key `every` is missing"],
            ),
            (
                with_plan("overage: [{degraded: {every: day}}]"),
                &[
                    "error[C5] plans.basic.overage[0].degraded.every: without `credits` degraded use is free of charge, and nothing starts anew",
                ],
            ),
            (
                with_plan("overage: [{soft: {price: [{at: 0.1}, {up_to: 5, at: 0.1}]}}]"),
                &[
                    "error[C5] plans.basic.overage[0].soft.price[0]: only the last tier has no end",
                    "error[C5] plans.basic.overage[0].soft.price[1]: the last tier has an end",
                ],
            ),
            (
                with_plan(
                    "overage: [{soft: {price: [{up_to: 5, at: 0.1}, {up_to: 5, at: 0.1}, {at: 0.1}]}}]",
                ),
                &[
                    "error[C5] plans.basic.overage[0].soft.price[1].up_to: this tier ends at `5`, which is not after the one before",
                ],
            ),
            (
                with_plan("overage: [{soft: {price: []}}]"),
                &["error[C5] plans.basic.overage[0].soft.price: a volume price has no tier"],
            ),
        ]);
    }

    #[test]
    fn what_needs_an_allowance_says_so() {
        expect(&[
            (
                with_plan("overage: [{borrow: {up_to: 20%}}]"),
                &[
                    "error[C5] plans.basic.overage[0].borrow: there is no next period to borrow from: the plan has no recurring allowance",
                ],
            ),
            (
                with_plan("allowance: {credits: 5, every: once}, overage: [{borrow: {up_to: 5}}]"),
                &[
                    "error[C5] plans.basic.overage[0].borrow: there is no next period to borrow from: the plan has no recurring allowance",
                ],
            ),
            (
                with_plan("rollover: {subscription: {}}"),
                &["error[C6] plans.basic.rollover: nothing rolls over: the plan has no allowance"],
            ),
            (
                without_governance(
                    "caps: [{name: a, per: run, limit: 1}], alerts: [{name: x, balance_below: 20%}]",
                ),
                &[
                    "error[C14] plans.basic.alerts[0].balance_below: `20%` of an allowance, and the plan has none",
                ],
            ),
            (
                with_plan("features: {seats: many}, pooling: {scope: hybrid, personal: 20}"),
                &[
                    "error[C7] plans.basic.pooling: `features.seats` is `many`, and seats are a whole number from 0 to 1000000",
                ],
            ),
            (with_plan("features: {seats: many}"), &[]),
            (
                with_plan("pooling: {scope: hybrid, personal: 20%}"),
                &["error[C7] plans.basic.pooling.personal: `20%` of an allowance, and the plan has none"],
            ),
            (
                without_governance(
                    "caps: [{name: a, per: run, limit: 1}], alerts: [{name: x, overage_reaches: 80%}]",
                ),
                &[
                    "error[C14] plans.basic.alerts[0].overage_reaches: `80%` of `soft.up_to`, and the plan's overage has no such limit",
                ],
            ),
        ]);
    }

    #[test]
    fn trading_is_refused_by_design() {
        let source = document(
            CREDIT,
            "draft: {weight: 1, value: 5, failure: none}",
            "basic: {allowance: {credits: 10, every: month}, trading: open, caps: [{name: c, per: user, limit: 5, every: day}], \
             alerts: [{name: low, balance_below: 20%}]}",
        );
        let report = check(&source);
        assert_eq!(report.choices(Severity::Error), ["C12"]);
        assert!(report.choices(Severity::Warning).is_empty());
        assert!(check(&source.replace("trading: open", "trading: none")).is_sound());
        expect(&[(
            with_plan("trading: [yes]"),
            &["error[C12] plans.basic.trading: ``: credits are not traded"],
        )]);
    }

    #[test]
    fn caps_and_alerts_are_whole() {
        let cap = |keys: &str| {
            without_governance(&format!("caps: [{{{keys}}}], alerts: [{{name: x, balance_below: 5}}]"))
        };
        let alert = |keys: &str| {
            without_governance(&format!(
                "caps: [{{name: c, per: run, limit: 1}}], alerts: [{{name: x, {keys}}}]"
            ))
        };
        expect(&[
            (cap("name: a, per: run, limit: 5"), &[]),
            (cap("name: a, per: run, runs: 5"), &[]),
            (cap("name: a, per: team, match: 'x*', runs: 5, every: 36h, soft: true"), &[]),
            (cap("name: a, per: user, limit: 5"), &["error plans.basic.caps[0]: the key `every` is missing"]),
            (
                cap("name: a, per: user, limit: 5, every: quarter"),
                &["error[C14] plans.basic.caps[0].every: `quarter` is not known here"],
            ),
            (
                cap("name: a, per: user, concurrent: 5, every: day"),
                &["error[C14] plans.basic.caps[0].every: what runs at one time has no window"],
            ),
            (
                cap("name: a, per: usr, limit: 5, every: day"),
                &["error[C14] plans.basic.caps[0].per: `usr` is not known here"],
            ),
            (
                cap("name: a, per: user, limit: 5, runs: 5, every: day"),
                &[
                    "error[C14] plans.basic.caps[0]: a cap has exactly one of `limit`, `runs` and `concurrent`",
                ],
            ),
            (
                alert("balance_below: 5, burn_above: 3x"),
                &["error[C14] plans.basic.alerts[0]: an alert has exactly one condition"],
            ),
            (
                alert("balance_below: 5, at_least: 3"),
                &[
                    "error[C14] plans.basic.alerts[0].at_least: `at_least` goes with `expires_within`, not with `balance_below`",
                ],
            ),
            (alert("reaches: 5%"), &["error plans.basic.alerts[0]: the key `cap` is missing"]),
            (alert("burn_above: 3"), &["error[C14] plans.basic.alerts[0].burn_above: `3` is not a multiple"]),
        ]);
    }

    #[test]
    fn warnings_name_their_choice() {
        let quiet = |keys: &str| said(&with_plan(keys));
        expect(&[
            (
                document(
                    "{unit: input, price: 0.10, currency: USD}",
                    "draft: {weight: 1}",
                    &format!("basic: {{{GOVERNED}}}"),
                ),
                &["warning[C1] credit.unit: the credit stands for an input"],
            ),
            (
                with_action("weight: 1, trigger: event"),
                &["warning[C2] actions.draft.trigger: each run is charged when it starts"],
            ),
            (
                with_action("weight: 1, failure: 100%"),
                &["warning[C2] actions.draft.failure: a failed run costs as much as a success"],
            ),
            (
                with_action("weight: 1, when: [{model: a, failure: full}]"),
                &["warning[C2] actions.draft.when[0].failure: a failed run costs as much as a success"],
            ),
            (with_action("weight: 5, value: 0.50"), &[]),
            (
                with_action("weight: 5, value: 0.49"),
                &[
                    "warning[C4] actions.draft.value: a unit is worth `0.49` to the buyer, less than its price of `0.5`",
                ],
            ),
            (
                with_action(
                    "weight: 5, value: 0.5, when: [{model: a, weight: 6}, {model: b, per: 1000}, {model: c, value: 0.4}]",
                ),
                &[
                    "warning[C4] actions.draft.when[0].weight: a unit is worth `0.5` to the buyer, less than its price of `0.6`",
                    "warning[C4] actions.draft.when[2].value: a unit is worth `0.4` to the buyer, less than its price of `0.5`",
                ],
            ),
            (
                with_action("weight: 1, reserve: {ttl: 20m}"),
                &[
                    "warning[C2] actions.draft.reserve.ttl: a reservation may live `20m`, longer than `reclaim_after`, `15m`",
                ],
            ),
            (
                with_plan("offline: {reclaim_after: 5m}"),
                &[
                    "warning[C2] plans.basic.offline.reclaim_after: a reservation may live `15m`, longer than `reclaim_after`, `5m`",
                ],
            ),
            (
                with_plan("draw_order: lifo"),
                &["warning[C10] plans.basic.draw_order: the newest credits burn first"],
            ),
            (
                without_governance("mode: observe"),
                &[
                    "warning[C14] plans.basic: the plan has no cap of any kind",
                    "warning[C14] plans.basic: the plan has no alert of any kind",
                ],
            ),
            (
                with_plan("overage: [{soft: {price: 0.11}}]"),
                &[
                    "warning[C5] plans.basic.overage[0].soft.price: a credit of overage costs `0.11`, above the list price of `0.1`",
                ],
            ),
            (with_plan("price: 0.09, overage: [{soft: {price: 0.10}}]"), &[]),
            (
                with_plan("price: 0.2, overage: [{soft: {}}]"),
                &[
                    "warning[C5] plans.basic.overage[0].soft: a credit of overage costs `0.2`, above the list price of `0.1`",
                ],
            ),
        ]);
        let month = "allowance: {credits: 5, every: month}";
        for (keys, want) in [
            ("subscription: {times: 1, lasts: 1mo}", vec![]),
            (
                "subscription: {lasts: forever}",
                vec![
                    "warning[C6] plans.basic.rollover.subscription.lasts: unused `subscription` credits roll without end",
                ],
            ),
            (
                "subscription: {times: unlimited}",
                vec![
                    "warning[C6] plans.basic.rollover.subscription.times: unused `subscription` credits roll without end",
                ],
            ),
            ("incentive: {}", vec!["warning[C13] plans.basic.rollover.incentive: incentives roll over"]),
        ] {
            assert_eq!(quiet(&format!("{month}, rollover: {{{keys}}}")), want);
        }
        for (keys, want) in [
            ("credits: 5, lasts: 90d", vec![]),
            (
                "credits: 5, lasts: 91d",
                vec!["warning[C13] plans.basic.incentives.hi.lasts: the incentive `hi` lasts `91d`"],
            ),
            (
                "credits: 5",
                vec!["warning[C13] plans.basic.incentives.hi: the incentive `hi` does not expire"],
            ),
        ] {
            assert_eq!(quiet(&format!("incentives: {{hi: {{{keys}}}}}")), want);
        }
        for (term, lasts, want) in [
            ("1y", "lasts: 1y", vec![]),
            (
                "6mo",
                "lasts: 1y",
                vec![
                    "warning[C8] plans.basic.on_demand.packs.s.lasts: credits of the pack `s` outlive the term of `6mo`",
                ],
            ),
            (
                "1y",
                "",
                vec![
                    "warning[C8] plans.basic.on_demand.packs.s: credits of the pack `s` outlive the term of `1y`",
                ],
            ),
        ] {
            let keys = format!(
                "term: {{lasts: {term}}}, on_demand: {{packs: {{s: {{credits: 5, price: 1, {lasts}}}}}}}"
            );
            assert_eq!(quiet(&keys), want);
        }
    }

    #[test]
    fn bounds_hold() {
        let many = |n: usize, item: &dyn Fn(usize) -> String| (0..n).map(item).collect::<Vec<_>>().join(", ");
        let caps = many(65, &|n| format!("{{name: c{n}, per: run, limit: 1}}"));
        let whens = many(257, &|n| format!("{{model: m{n}, weight: 1}}"));
        let plans = many(1_001, &|n| format!("p{n}: {{}}"));
        for (source, path) in [
            (
                without_governance(&format!("caps: [{caps}]")),
                "plans.basic.caps: there are 65 entries here, more than 64",
            ),
            (
                with_action(&format!("weight: 1, when: [{whens}]")),
                "actions.draft.when: there are 257 entries here, more than 256",
            ),
            (
                document(CREDIT, "draft: {weight: 1}", &plans),
                "plans: there are 1001 entries here, more than 1000",
            ),
        ] {
            let report = check(&source);
            let errors: Vec<_> =
                report.of(Severity::Error).map(|f| format!("{}: {}", f.path, f.problem)).collect();
            assert_eq!(errors, [path]);
        }
        let flood = many(600, &|n| format!("k{n}: 1"));
        let report = check(&with_plan(&flood));
        assert_eq!((report.findings.len(), report.omitted, report.is_sound()), (500, 100, false));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn no_text_is_a_panic(text in "\\PC{0,200}") {
            let _ = check(&text).in_file("x").to_string();
        }

        #[test]
        fn no_yaml_like_text_is_a_panic(text in "[a-z0-9:{}\\[\\],&*!|>%'\"# \\n-]{0,200}") {
            let _ = check(&text).in_file("x").to_string();
        }

        /// The whole language with one line dropped, doubled, or one piece replaced.
        #[test]
        fn no_mutation_of_the_language_is_a_panic(
            line in 0_usize..100, column in 0_usize..160, kind in 0_u8..4,
            piece in prop_oneof!["[-:{}\\[\\],&*0-9a-z %'\"]{0,6}", Just("99999999999999999999".to_owned()), Just("-1".to_owned())],
        ) {
            let mut lines: Vec<String> = WHOLE.lines().map(str::to_owned).collect();
            let line = line % lines.len();
            match kind {
                0 => { lines.remove(line); }
                1 => { let copy = lines[line].clone(); lines.insert(line, copy); }
                2 => {
                    let chars: Vec<char> = lines[line].chars().collect();
                    let at = column.min(chars.len());
                    lines[line] = chars[..at].iter().collect::<String>() + &piece + &chars[at..].iter().collect::<String>();
                }
                _ => {
                    let chars: Vec<char> = lines[line].chars().collect();
                    let (from, to) = (column.min(chars.len()), (column + piece.len()).min(chars.len()));
                    lines[line] = chars[..from].iter().collect::<String>() + &chars[to..].iter().collect::<String>();
                }
            }
            let report = check(&lines.join("\n"));
            let errors = report.of(Severity::Error).next().is_some();
            prop_assert!(report.is_sound() != errors);
            let _ = report.in_file("x").to_string();
        }
    }
}
