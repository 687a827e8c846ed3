//! BPMN, DMN, and XML of other kinds.

use super::markup::{Event, Open, attribute, walk};
use super::{Format, Recognised, push};

const DEEP: &str = "elements that lie too deep were passed over";

fn named(open: &Open<'_>) -> String {
    attribute(open.attributes, "name").unwrap_or_default()
}

/// Names of processes, then pools, then the model; text is all names and documentation.
pub fn bpmn(text: &str, version: Option<String>) -> Recognised {
    let mut found = Recognised::new(Format::Bpmn);
    found.version = version;
    let (mut processes, mut pools, mut models) = (Vec::new(), Vec::new(), Vec::new());
    let whole = walk(text, |event| match event {
        Event::Start { path: [.., open] } => {
            let name = named(open);
            match open.name {
                "process" => push(&mut processes, &name),
                "participant" => push(&mut pools, &name),
                "definitions" => push(&mut models, &name),
                _ => {}
            }
            if !matches!(open.name, "definitions" | "BPMNDiagram") {
                found.say(&name);
            }
        }
        Event::End { path: [.., open], text } if matches!(open.name, "documentation" | "text") => found.say(text),
        _ => {}
    });
    found.names = processes;
    for name in pools.into_iter().chain(models) {
        found.name(&name);
    }
    if !whole {
        found.note(DEEP);
    }
    found
}

/// Names of the model and its decisions; text is names, questions and answers.
pub fn dmn(text: &str, version: Option<String>) -> Recognised {
    let mut found = Recognised::new(Format::Dmn);
    found.version = version;
    let whole = walk(text, |event| match event {
        Event::Start { path: [.., open] } => {
            let name = named(open);
            if matches!(open.name, "definitions" | "decision" | "decisionService" | "businessKnowledgeModel") {
                found.name(&name);
            }
            found.say(&name);
        }
        Event::End { path: [.., open], text }
            if matches!(open.name, "description" | "question" | "allowedAnswers" | "text") =>
        {
            found.say(text);
        }
        _ => {}
    });
    if !whole {
        found.note(DEEP);
    }
    found
}

/// XML of which nothing is known: its texts.
pub fn xml(text: &str) -> Recognised {
    let mut found = Recognised::new(Format::Xml);
    let whole = walk(text, |event| {
        if let Event::End { text, .. } = event {
            found.say(text);
        }
    });
    if !whole {
        found.note(DEEP);
    }
    found
}
