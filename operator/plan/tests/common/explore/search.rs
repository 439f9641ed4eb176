//! Every world that can come of a case, breadth first.

use super::{Action, World, case::Case};
use crate::common::conduct::Conduct;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

/// More broken promises than this tell nothing new.
const ENOUGH: usize = 3;

#[derive(Default)]
pub struct Found {
    pub name: &'static str,
    pub states: usize,
    pub transitions: usize,
    /// What is broken, and how to get there.
    pub broken: Vec<String>,
    /// How runs ended, and in how many states.
    pub ends: BTreeMap<String, usize>,
    /// Whether the limit was reached before all was seen.
    pub cut: bool,
}

struct Seen {
    ids: HashMap<u64, u32>,
    parents: Vec<(u32, Option<Action>)>,
    edges: Vec<(u32, u32)>,
}

pub fn explore(case: &Arc<Case>, conduct: Conduct, limit: usize) -> Found {
    let first = World::new(case, conduct);
    let mut seen = Seen { ids: HashMap::from([(first.hash(), 0)]), parents: vec![(0, None)], edges: Vec::new() };
    let mut found = Found { name: case.name, ..Found::default() };
    let mut ended = Vec::new();
    let mut queue = VecDeque::from([(0, first)]);
    while let Some((id, world)) = queue.pop_front() {
        if found.broken.len() >= ENOUGH || seen.parents.len() > limit {
            found.cut = true;
            break;
        }
        let mut actions = world.actions();
        if actions.is_empty() {
            ended.push(id);
            let mut over = world.clone();
            over.is_over_rightly();
            tell(&mut found, &seen, id, &over);
            *found.ends.entry(super::straight::outcome_in_short(&over)).or_default() += 1;
        }
        actions.extend(world.faults());
        for action in actions {
            let next = world.after(&action);
            found.transitions += 1;
            let hash = next.hash();
            let new = u32::try_from(seen.parents.len()).unwrap();
            let to = *seen.ids.entry(hash).or_insert(new);
            seen.edges.push((id, to));
            if to == new {
                seen.parents.push((id, Some(action)));
                if next.broken.is_empty() {
                    queue.push_back((to, next));
                } else {
                    tell(&mut found, &seen, to, &next);
                }
            }
        }
    }
    found.states = seen.parents.len();
    if found.broken.is_empty() && !found.cut {
        every_state_can_end(&mut found, &seen, &ended);
    }
    found
}

fn tell(found: &mut Found, seen: &Seen, id: u32, world: &World) {
    if let Some(broken) = world.broken.first() {
        found.broken.push(format!("{broken}\n    after {}", way(seen, id)));
    }
}

fn way(seen: &Seen, mut id: u32) -> String {
    let mut steps = Vec::new();
    while let (parent, Some(action)) = &seen.parents[usize::try_from(id).unwrap()] {
        steps.push(format!("{action:?}"));
        id = *parent;
    }
    steps.reverse();
    steps.join(", ")
}

/// Progress: whatever has happened, the run can still come to its end.
fn every_state_can_end(found: &mut Found, seen: &Seen, ended: &[u32]) {
    let mut before: Vec<Vec<u32>> = vec![Vec::new(); seen.parents.len()];
    for (from, to) in &seen.edges {
        before[usize::try_from(*to).unwrap()].push(*from);
    }
    let mut good = vec![false; seen.parents.len()];
    let mut queue: VecDeque<u32> = ended.iter().copied().collect();
    ended.iter().for_each(|id| good[usize::try_from(*id).unwrap()] = true);
    while let Some(id) = queue.pop_front() {
        for from in &before[usize::try_from(id).unwrap()] {
            let from_good = &mut good[usize::try_from(*from).unwrap()];
            if !*from_good {
                *from_good = true;
                queue.push_back(*from);
            }
        }
    }
    let stuck: Vec<_> = good.iter().enumerate().filter(|(_, good)| !**good).map(|(id, _)| id).collect();
    if let Some(first) = stuck.first() {
        let way = way(seen, u32::try_from(*first).unwrap());
        found.broken.push(format!("inv07: {} states from which the run cannot end, first after {way}", stuck.len()));
    }
}
