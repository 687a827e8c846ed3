//! The steps of a model in words: what a picture says to those who cannot see it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::model::{Element, Model};

/// Steps that are listed.
const STEPS_MAX: usize = 1_000;

/// One step: an event, an activity or a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its number in the list, from 1.
    pub number: usize,
    /// What it is: `userTask`, `exclusiveGateway`, `startEvent`, … as BPMN calls it.
    pub kind: String,
    /// The kind of an event: `timer`, `message`, …; empty for others and for plain ones.
    pub event: String,
    /// Empty if it has none.
    pub name: String,
    /// Who does it, by the name of the lane; empty if nobody is named.
    pub lane: String,
    /// How many subprocesses it lies within.
    pub depth: usize,
    /// Where it goes on.
    pub next: Vec<Way>,
}

/// A way from one step to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The condition, as written at the flow; empty if there is none.
    pub condition: String,
    /// The number of the step that it leads to; 0 if that one is not listed.
    pub to: usize,
}

fn is_step(element: &Element) -> bool {
    const KINDS: [&str; 5] = ["Event", "ask", "Gateway", "ubProcess", "Activity"];
    KINDS.iter().any(|end| element.kind.ends_with(end)) || element.kind == "transaction"
}

/// All steps: each scope from its starts on, along the flow, breadth first; a subprocess is followed by what it holds.
pub(super) fn steps(model: &Model) -> Vec<Step> {
    let mut scopes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut flows: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    let mut entered = BTreeSet::new();
    for (id, element) in &model.elements {
        if is_step(element) {
            scopes.entry(&element.scope).or_default().push(id);
        }
        if let Some((from, to)) = element.ends.as_ref().filter(|_| element.kind == "sequenceFlow") {
            flows.entry(from).or_default().push((&element.name, to));
            entered.insert(to.as_str());
        }
    }
    let order = |id: &&str| model.elements.get(*id).map_or(0, |element| element.order);
    scopes.values_mut().for_each(|ids| ids.sort_by_key(order));
    let mut tops: Vec<&str> =
        scopes.keys().copied().filter(|scope| !model.elements.get(*scope).is_some_and(is_step)).collect();
    tops.sort_by_key(order);
    let mut list: Vec<(&str, usize)> = Vec::new();
    // Scopes that are open, innermost last; each with the steps that are still to be listed in it.
    let mut open: Vec<VecDeque<&str>> =
        tops.into_iter().rev().map(|scope| along(scope, &scopes, &flows, &entered)).collect();
    let outermost = open.len();
    let mut depths: Vec<usize> = vec![0; outermost];
    while let Some(mut steps) = open.pop() {
        let depth = depths.pop().unwrap_or_default();
        let Some(id) = steps.pop_front() else { continue };
        if list.len() == STEPS_MAX {
            break;
        }
        list.push((id, depth));
        open.push(steps);
        depths.push(depth);
        if scopes.contains_key(id) {
            open.push(along(id, &scopes, &flows, &entered));
            depths.push(depth + 1);
        }
    }
    let numbers: BTreeMap<&str, usize> = list.iter().enumerate().map(|(n, (id, _))| (*id, n + 1)).collect();
    let step = |(id, depth): &(&str, usize)| {
        let element = model.elements.get(*id)?;
        let next = flows.get(id).into_iter().flatten();
        let next = next.map(|(condition, to)| Way {
            condition: (*condition).to_owned(),
            to: numbers.get(to).copied().unwrap_or_default(),
        });
        Some(Step {
            number: numbers.get(id).copied().unwrap_or_default(),
            kind: element.kind.clone(),
            event: element.event.clone(),
            name: element.name.clone(),
            lane: model.lanes.get(*id).cloned().unwrap_or_default(),
            depth: *depth,
            next: next.collect(),
        })
    };
    list.iter().filter_map(step).collect()
}

/// The steps of one scope in the order in which the flow reaches them; what it does not reach comes last.
fn along<'a>(
    scope: &str,
    scopes: &BTreeMap<&'a str, Vec<&'a str>>,
    flows: &BTreeMap<&'a str, Vec<(&'a str, &'a str)>>,
    entered: &BTreeSet<&'a str>,
) -> VecDeque<&'a str> {
    let Some(all) = scopes.get(scope) else { return VecDeque::new() };
    let own: BTreeSet<&str> = all.iter().copied().collect();
    let mut seen = BTreeSet::new();
    let mut list = VecDeque::new();
    let starts = all.iter().filter(|id| !entered.contains(*id));
    for start in starts.chain(all.iter()) {
        let mut waiting = VecDeque::from([*start]);
        while let Some(id) = waiting.pop_front() {
            if own.contains(id) && seen.insert(id) {
                list.push_back(id);
                waiting.extend(flows.get(id).into_iter().flatten().map(|(_, to)| *to));
            }
        }
    }
    list
}
