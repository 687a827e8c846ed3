//! The SVG of a model's diagrams.
//!
//! Shapes carry classes (`bpmn-task`, `bpmn-flow`, …) and enough presentation attributes to be read without any style.

mod signs;
mod words;

use std::fmt::Write as _;

use super::model::{Bounds, Edge, Element, Model, Plane, Point, Shape};
use super::text::{escape, lines};
use super::{PICTURE_MAX_BYTES, Picture};
use signs::{data_object, data_store, event, gateway, plus, task_sign};
use words::{beside, block, inside, side_label, top_label};

/// Size of the font, in units of the picture: what modellers use.
const FONT: f64 = 11.0;
/// Height of a line.
const LINE: f64 = 13.0;
/// Room around what is drawn.
const MARGIN: f64 = 20.0;
/// Room for the label of an event, a gateway or a flow that says nothing of its own.
const LABEL_WIDTH: f64 = 90.0;
/// Room for one that does: modellers measure it with other fonts.
const LABEL_MIN: f64 = 70.0;
/// A subprocess that does not say whether it shows what is in it does so if it is larger than this.
const COLLAPSED_MAX: (f64, f64) = (200.0, 120.0);

/// The pictures of a model that are not too large.
pub(super) fn pictures(model: &Model) -> Vec<Picture> {
    let mut left = PICTURE_MAX_BYTES;
    let mut pictures = Vec::new();
    for plane in &model.planes {
        let svg = picture(model, plane);
        if svg.len() <= left {
            left -= svg.len();
            pictures.push(Picture { name: plane.name.clone(), svg });
        }
    }
    pictures
}

fn picture(model: &Model, plane: &Plane) -> String {
    let frame = frame(plane);
    let mut out = String::new();
    let name = plane.name.as_deref().unwrap_or("BPMN");
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"bpmn\" role=\"img\" aria-label=\"{}\" viewBox=\"{} {} {} {}\" \
         width=\"{}\" height=\"{}\" font-family=\"sans-serif\" font-size=\"{FONT}\" fill=\"none\" stroke=\"#1b1b1b\">",
        escape(name),
        short(frame.x),
        short(frame.y),
        short(frame.width),
        short(frame.height),
        short(frame.width),
        short(frame.height),
    );
    // Large areas lie below small ones, lines above areas, words above all.
    let mut shapes: Vec<(&Shape, Option<&Element>)> =
        plane.shapes.iter().map(|shape| (shape, model.elements.get(&shape.element))).collect();
    shapes.sort_by(|(a, _), (b, _)| b.bounds.area().total_cmp(&a.bounds.area()));
    let mut words = String::new();
    for (shape, element) in &shapes {
        draw_shape(&mut out, &mut words, shape, *element);
    }
    for edge in &plane.edges {
        draw_edge(&mut out, &mut words, edge, model.elements.get(&edge.element));
    }
    out.push_str("<g fill=\"#1b1b1b\" stroke=\"none\">");
    out.push_str(&words);
    out.push_str("</g></svg>");
    out
}

/// What is drawn, with room around it.
fn frame(plane: &Plane) -> Bounds {
    let (mut left, mut top) = (f64::MAX, f64::MAX);
    let (mut right, mut bottom) = (f64::MIN, f64::MIN);
    let mut cover = |(x, y): Point| {
        (left, right) = (left.min(x), right.max(x));
        (top, bottom) = (top.min(y), bottom.max(y));
    };
    let labels = plane.shapes.iter().filter_map(|s| s.label).chain(plane.edges.iter().filter_map(|e| e.label));
    for area in plane.shapes.iter().map(|shape| shape.bounds).chain(labels) {
        cover((area.x, area.y));
        cover((area.x + area.width, area.y + area.height));
    }
    plane.edges.iter().flat_map(|edge| &edge.points).for_each(|point| cover(*point));
    Bounds {
        x: left - MARGIN,
        y: top - MARGIN,
        width: right - left + 2.0 * MARGIN,
        height: bottom - top + 2.0 * MARGIN + LINE,
    }
}

/// A number with as many digits as can be seen.
fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

fn draw_shape(out: &mut String, words: &mut String, shape: &Shape, element: Option<&Element>) {
    let kind = element.map_or("", |element| element.kind.as_str());
    let name = element.map_or("", |element| element.name.as_str());
    let area = shape.bounds;
    match kind {
        "participant" | "lane" => {
            rect(out, "bpmn-pool", &area, 0.0, "#ffffff", 1.5);
            side_label(words, &area, name, shape.horizontal);
        }
        kind if kind.ends_with("Event") => {
            event(out, kind, element.map_or("", |element| element.event.as_str()), &area);
            beside(words, shape, name);
        }
        kind if kind.ends_with("Gateway") => {
            gateway(out, kind, &area);
            beside(words, shape, name);
        }
        "subProcess" | "transaction" | "adHocSubProcess" if is_expanded(shape) => {
            rect(out, "bpmn-subprocess", &area, 10.0, "#ffffff", 1.5);
            top_label(words, &area, name);
        }
        kind if kind.ends_with("ask")
            || kind.ends_with("ubProcess")
            || kind.ends_with("Activity")
            || kind == "transaction" =>
        {
            rect(out, "bpmn-task", &area, 10.0, "#eef3f9", if kind == "callActivity" { 3.0 } else { 1.5 });
            task_sign(out, kind, &area);
            if kind.ends_with("ubProcess") {
                plus(out, (area.middle().0, area.y + area.height - 9.0), 4.0);
            }
            inside(words, &area, name);
        }
        "textAnnotation" => {
            let (x, y, bottom) = (short(area.x), short(area.y), short(area.y + area.height));
            let to = short(area.x + 8.0);
            let _ = write!(out, "<path class=\"bpmn-note\" d=\"M{to} {y}H{x}V{bottom}H{to}\"/>");
            inside(words, &area, name);
        }
        "group" => {
            let _ = write!(
                out,
                "<rect class=\"bpmn-group\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"10\" stroke-dasharray=\"8 4 1 4\"/>",
                short(area.x),
                short(area.y),
                short(area.width),
                short(area.height)
            );
        }
        kind if kind.starts_with("dataStore") => {
            data_store(out, &area);
            beside(words, shape, name);
        }
        kind if kind.starts_with("data") => {
            data_object(out, &area);
            beside(words, shape, name);
        }
        _ => {
            rect(out, "bpmn-other", &area, 4.0, "#ffffff", 1.0);
            inside(words, &area, name);
        }
    }
}

fn is_expanded(shape: &Shape) -> bool {
    shape.expanded.unwrap_or(shape.bounds.width > COLLAPSED_MAX.0 && shape.bounds.height > COLLAPSED_MAX.1)
}

fn rect(out: &mut String, class: &str, area: &Bounds, radius: f64, fill: &str, stroke: f64) {
    let _ = write!(
        out,
        "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"{}\" fill=\"{fill}\" stroke-width=\"{}\"/>",
        short(area.x),
        short(area.y),
        short(area.width),
        short(area.height),
        short(radius),
        short(stroke)
    );
}

fn draw_edge(out: &mut String, words: &mut String, edge: &Edge, element: Option<&Element>) {
    let kind = element.map_or("", |element| element.kind.as_str());
    let (class, dashes) = match kind {
        "messageFlow" => ("bpmn-message", " stroke-dasharray=\"8 5\""),
        "association" | "dataInputAssociation" | "dataOutputAssociation" => {
            ("bpmn-association", " stroke-dasharray=\"1 4\"")
        }
        _ => ("bpmn-flow", ""),
    };
    let mut d = String::new();
    for (n, (x, y)) in edge.points.iter().enumerate() {
        let _ = write!(d, "{}{} {}", if n == 0 { 'M' } else { 'L' }, short(*x), short(*y));
    }
    let _ = write!(out, "<path class=\"{class}\" stroke-width=\"1.5\" d=\"{d}\"{dashes}/>");
    if kind != "association"
        && let [.., from, to] = edge.points.as_slice()
    {
        arrow(out, *from, *to, kind == "messageFlow");
    }
    let name = element.map_or("", |element| element.name.as_str());
    if name.is_empty() {
        return;
    }
    let at = edge.label.map_or_else(
        || {
            let middle = edge.points.len() / 2;
            let (a, b) = (edge.points[middle - 1], edge.points[middle]);
            Bounds {
                x: (a.0 + b.0) / 2.0 - LABEL_WIDTH / 2.0,
                y: (a.1 + b.1) / 2.0 - LINE,
                width: LABEL_WIDTH,
                height: LINE,
            }
        },
        |label| Bounds { width: label.width.max(LABEL_MIN), ..label },
    );
    let text = lines(name, at.width, FONT, 4);
    block(words, (at.x + at.width / 2.0, at.y + FONT), &text);
}

/// The end of a flow: filled for sequence flows, open for messages.
fn arrow(out: &mut String, from: Point, to: Point, open: bool) {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let length = dx.hypot(dy);
    if length < 0.1 {
        return;
    }
    let (ux, uy) = (dx / length * 10.0, dy / length * 10.0);
    let (base_x, base_y) = (to.0 - ux, to.1 - uy);
    let _ = write!(
        out,
        "<path class=\"bpmn-arrow\" fill=\"{}\" d=\"M{} {}L{} {}L{} {}z\"/>",
        if open { "#ffffff" } else { "#1b1b1b" },
        short(to.0),
        short(to.1),
        short(base_x - uy * 0.4),
        short(base_y + ux * 0.4),
        short(base_x + uy * 0.4),
        short(base_y - ux * 0.4)
    );
}
