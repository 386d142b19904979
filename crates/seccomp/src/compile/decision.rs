//! What the rules make of one system call.

use super::{Trace, Traced};
use crate::policy::{Policy, Rule};
use crate::{Action, Condition};

/// The first branch whose conditions hold counts, else `otherwise`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decision {
    pub branches: Vec<(Vec<Condition>, Action)>,
    pub otherwise: Action,
}

impl Decision {
    pub const fn always(action: Action) -> Self {
        Self { branches: Vec::new(), otherwise: action }
    }

    /// Of a system call's name, under the policy.
    pub fn of(policy: &Policy, name: &str) -> Self {
        let mut rules: Vec<&Rule> =
            policy.rules.iter().filter(|rule| rule.syscalls.iter().any(|own| own == name)).collect();
        // Stable: among equals the order is the policy's.
        rules.sort_by_key(|rule| (rule.action.precedence(), rule.conditions.is_empty()));
        let mut decision = Self::always(policy.default_action);
        for rule in rules {
            if rule.conditions.is_empty() {
                // It always matches; whatever comes after it is weaker.
                decision.otherwise = rule.action;
                break;
            }
            let mut conditions = rule.conditions.clone();
            conditions.sort_unstable();
            conditions.dedup();
            let branch = (conditions, rule.action);
            if !decision.branches.contains(&branch) {
                decision.branches.push(branch);
            }
        }
        decision.trim();
        decision
    }

    /// With permissions replaced by stops for a tracer.
    pub fn traced(mut self, trace: &Trace) -> Self {
        for action in self.branches.iter_mut().map(|(_, action)| action).chain([&mut self.otherwise]) {
            if action.permits() {
                *action = Action::Trace(trace.data);
            }
        }
        self.trim();
        self
    }

    /// Whether arguments have no say in it, and it is this.
    pub fn is_always(&self, action: Action) -> bool {
        self.branches.is_empty() && self.otherwise == action
    }

    /// Last branches that say what is said anyway are left out.
    fn trim(&mut self) {
        while self.branches.last().is_some_and(|(_, action)| *action == self.otherwise) {
            self.branches.pop();
        }
    }
}

impl Trace {
    pub(super) fn covers(&self, native: Option<u32>) -> bool {
        match &self.calls {
            Traced::All => true,
            Traced::Numbers(numbers) => native.is_some_and(|nr| numbers.contains(&nr)),
        }
    }
}

/// Decisions, each once.
#[derive(Default)]
pub(super) struct Decisions {
    all: Vec<Decision>,
}

/// One of [`Decisions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct DecisionId(usize);

impl Decisions {
    pub fn add(&mut self, decision: Decision) -> DecisionId {
        let index = self.all.iter().position(|known| *known == decision).unwrap_or_else(|| {
            self.all.push(decision);
            self.all.len() - 1
        });
        DecisionId(index)
    }

    pub fn get(&self, id: DecisionId) -> Option<&Decision> {
        self.all.get(id.0)
    }
}
