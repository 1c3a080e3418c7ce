//! C15: what is bought beside a plan.

use std::collections::BTreeMap;

use super::allowance::Allowance;
use super::billing::Fee;
use super::meaning::{Feature, Plan};
use crate::types::Name;

#[derive(Clone, Debug)]
pub struct AddOn {
    pub name: Name,
    pub allowances: Vec<Allowance>,
    /// Each stands in the place of the plan's feature of that name.
    pub features: BTreeMap<String, Feature>,
    pub fee: Option<Fee>,
}

impl AddOn {
    /// Adds it to a plan: its allowances and its fee come after the plan's own.
    pub fn add_to(&self, plan: &mut Plan) {
        plan.allowances.extend(self.allowances.iter().copied());
        plan.features.extend(self.features.iter().map(|(name, feature)| (name.clone(), feature.clone())));
        plan.fees.extend(self.fee);
    }
}
