//! The models of a release, as pictures and in words.

use std::io;

use futures::TryStreamExt as _;
use maud::{Markup, PreEscaped, html};
use verbund_library::diagram::{self, Shown as Model, Step};

use super::super::language::Language;
use crate::http::library::{ReleaseRef, ReleaseView};
use crate::http::routes::Call;

/// Models that are shown on a page.
const MODELS: usize = 3;
/// Bytes of models that are read for a page. Larger ones are there to be pulled.
const MODELS_MAX_BYTES: u64 = 4 << 20;

/// A model.
pub(super) struct Flow {
    path: String,
    model: Model,
}

/// The models of a release that are small enough. What cannot be read is not shown; a page does not fail by it.
pub(super) async fn flows(call: &Call, release: &ReleaseRef, view: &ReleaseView) -> Vec<Flow> {
    let mut flows = Vec::new();
    let mut left = MODELS_MAX_BYTES;
    if view.unavailable.is_some() {
        return flows;
    }
    for file in view.files.iter().filter(|file| file.path.ends_with(".bpmn") || file.media_type.contains("bpmn")) {
        if flows.len() == MODELS {
            break;
        }
        if file.size == 0 || file.size > left {
            continue;
        }
        left -= file.size;
        let Ok(bytes) = read(call, release, &file.path, file.size).await else { continue };
        let shown = tokio::task::spawn_blocking(move || diagram::show(&bytes)).await;
        if let Ok(Ok(model)) = shown
            && !model.steps.is_empty()
        {
            flows.push(Flow { path: file.path.clone(), model });
        }
    }
    flows
}

async fn read(call: &Call, release: &ReleaseRef, path: &str, size: u64) -> io::Result<Vec<u8>> {
    let file = call.library().open_file(&call.reader, release, path).await.map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    let mut stream = file.reader.read(0..size.min(file.size));
    while let Some(chunk) = stream.try_next().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The section of the page.
pub(super) fn section(language: Language, flows: &[Flow]) -> Markup {
    let t = |german, english| language.of_two(german, english);
    html! {
        @if !flows.is_empty() {
            section aria-labelledby="flow" {
                h2 id="flow" { (t("Wie läuft es ab", "How it runs")) }
                @for (n, flow) in flows.iter().enumerate() {
                    h3 id={ "flow" (n) } { (flow.path) }
                    @for picture in &flow.model.pictures {
                        div class="picture" role="region" tabindex="0" aria-labelledby={ "flow" (n) } { (PreEscaped(&picture.svg)) }
                    }
                    details open[flow.model.pictures.is_empty()] {
                        summary { (t("Schritte in Worten", "Steps in words")) " (" (flow.model.steps.len()) ")" }
                        ol class="steps" { @for step in &flow.model.steps { (line(language, step)) } }
                    }
                }
            }
        }
    }
}

fn line(language: Language, step: &Step) -> Markup {
    let t = |german, english| language.of_two(german, english);
    html! {
        li class={ "in" (step.depth.min(3)) } {
            strong { (kind(language, &step.kind)) }
            @if !step.event.is_empty() { " (" (event(language, &step.event)) ")" }
            @if !step.name.is_empty() { ": " (step.name) }
            @if !step.lane.is_empty() { " – " (step.lane) }
            @if !step.next.is_empty() {
                " → "
                @for (n, way) in step.next.iter().enumerate() {
                    @if n > 0 { "; " }
                    @if !way.condition.is_empty() { (way.condition) ": " }
                    @if way.to > 0 { (t("Schritt", "step")) " " (way.to) } @else { "…" }
                }
            }
        }
    }
}

/// What a step is, for people.
fn kind(language: Language, kind: &str) -> &'static str {
    let t = |german, english| language.of_two(german, english);
    match kind {
        "startEvent" => t("Beginn", "Start"),
        "endEvent" => t("Ende", "End"),
        "boundaryEvent" => t("Ereignis während der Tätigkeit", "Event during the activity"),
        "userTask" | "manualTask" => t("Tätigkeit (Mensch)", "Task (person)"),
        "serviceTask" | "scriptTask" | "businessRuleTask" => t("Tätigkeit (System)", "Task (system)"),
        "sendTask" => t("Senden", "Send"),
        "receiveTask" => t("Empfangen", "Receive"),
        "callActivity" => t("Aufruf eines Prozesses", "Call of a process"),
        "exclusiveGateway" => t("Entscheidung", "Decision"),
        "parallelGateway" => t("Gleichzeitig", "In parallel"),
        "inclusiveGateway" | "complexGateway" => t("Auswahl", "Choice"),
        "eventBasedGateway" => t("Warten auf eines von", "Wait for one of"),
        kind if kind.ends_with("ubProcess") || kind == "transaction" => t("Teilprozess", "Subprocess"),
        kind if kind.ends_with("Event") => t("Ereignis", "Event"),
        _ => t("Tätigkeit", "Task"),
    }
}

/// What kind of event it is, for people.
fn event(language: Language, event: &str) -> &'static str {
    let t = |german, english| language.of_two(german, english);
    match event {
        "message" => t("Nachricht", "message"),
        "timer" => t("Zeit", "time"),
        "error" => t("Fehler", "error"),
        "signal" => t("Signal", "signal"),
        "terminate" => t("bricht alles ab", "ends everything"),
        "conditional" => t("Bedingung", "condition"),
        "escalation" => t("Eskalation", "escalation"),
        "compensate" => t("Rücknahme", "compensation"),
        "cancel" => t("Abbruch", "cancellation"),
        "link" => t("Verweis", "link"),
        _ => t("Ereignis", "event"),
    }
}
