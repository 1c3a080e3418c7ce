//! Term, fee and commitment as written: billing lines, not invoices.

use crate::playbook::billing::Unused;
use crate::playbook::finding::{At, Findings};
use crate::playbook::read::Cursor;
use crate::playbook::scalar::PERIODS;
use crate::playbook::shape::plan as shape;
use crate::types::calendar::Every;
use crate::types::{Length, Money, Percent};

#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    pub lasts: At<Length>,
    pub renews: Option<At<bool>>,
    pub unused: Option<At<Unused>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Fee {
    pub amount: At<Money>,
    pub every: At<Every>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Commitment {
    pub spend: At<Money>,
    pub over: At<Every>,
    pub discount: Option<At<Percent>>,
}

pub fn term(cursor: &Cursor<'_>, f: &mut Findings) -> Option<At<Term>> {
    let fields = cursor.fields(f, &shape::TERM)?;
    let lasts = fields.require(f, "lasts", "1y").and_then(|c| c.length(f));
    let renews = fields.get("renews").and_then(|c| c.flag(f));
    let unused =
        fields.get("unused").and_then(|c| c.word(f, &[("lapse", Unused::Lapse), ("roll", Unused::Roll)]));
    Some(cursor.at(Term { lasts: lasts?, renews, unused }))
}

pub fn fee(cursor: &Cursor<'_>, f: &mut Findings) -> Option<At<Fee>> {
    let fields = cursor.fields(f, &shape::FEE)?;
    let amount = fields.require(f, "amount", "990.00").and_then(|c| c.amount(f));
    let every = fields.require(f, "every", "month").and_then(|c| c.every(f, PERIODS));
    Some(cursor.at(Fee { amount: amount?, every: every? }))
}

pub fn commitment(cursor: &Cursor<'_>, f: &mut Findings) -> Option<At<Commitment>> {
    let fields = cursor.fields(f, &shape::COMMITMENT)?;
    let spend = fields.require(f, "spend", "50000.00").and_then(|c| c.amount(f));
    let over = fields.require(f, "over", "year").and_then(|c| c.every(f, PERIODS));
    let discount = fields.get("discount").and_then(|c| c.percent(f, true));
    Some(cursor.at(Commitment { spend: spend?, over: over?, discount }))
}
