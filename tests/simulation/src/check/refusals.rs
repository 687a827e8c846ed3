//! I9: nothing is refused without a reason, and every refusal is counted.

use verbund_protocol::core::{Effect, EventKind};

/// What is wrong with what one step told, given how many refusals were counted before and after it.
pub fn step(before: u64, after: u64, effects: &[Effect]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut told = 0;
    for effect in effects {
        match effect {
            Effect::Judge { accept: Some(false), .. } => told += 1,
            Effect::Event(event) => match &event.kind {
                EventKind::Refused { reason, text, .. } if reason.is_empty() || text.is_empty() => {
                    wrong.push(format!("a refusal without a reason: {event:?}"));
                }
                EventKind::EntryVoid { reason, .. } | EventKind::ReleaseBlocked { reason, .. } if reason.is_empty() => {
                    wrong.push(format!("no reason is given: {event:?}"));
                }
                _ => {}
            },
            Effect::Reply { result: Err(problem), .. } if problem.code.is_empty() || problem.text.is_empty() => {
                wrong.push("a command was refused without a reason".to_owned());
            }
            _ => {}
        }
    }
    if told > 0 && after == before {
        wrong.push("a message was rejected and not counted".to_owned());
    }
    wrong
}
