//! Signs of BPMN: events, gateways, data, and the kinds of tasks.

use std::fmt::Write as _;

use super::short;
use crate::diagram::model::{Bounds, Point};

/// SPEC: BPMN 2.0.2 §10.5: thin at the start, double in between, thick at the end.
pub(super) fn event(out: &mut String, kind: &str, event: &str, area: &Bounds) {
    let (x, y) = area.middle();
    let radius = area.width.min(area.height) / 2.0;
    let circle = |out: &mut String, radius: f64, width: f64, fill: &str| {
        let _ = write!(
            out,
            "<circle class=\"bpmn-event\" cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{fill}\" stroke-width=\"{}\"/>",
            short(x),
            short(y),
            short(radius.max(0.0)),
            short(width)
        );
    };
    match kind {
        "startEvent" => circle(out, radius, 1.5, "#eef7ee"),
        "endEvent" => circle(out, radius, 3.5, "#f9eeee"),
        _ => {
            circle(out, radius, 1.5, "#ffffff");
            circle(out, radius - 3.0, 1.0, "none");
        }
    }
    let r = radius * 0.5;
    let path = match event {
        "message" => format!(
            "M{} {}h{}v{}h-{}zl{} {}l{} -{}",
            short(x - r),
            short(y - r * 0.7),
            short(2.0 * r),
            short(1.4 * r),
            short(2.0 * r),
            short(r),
            short(r * 0.8),
            short(r),
            short(r * 0.8)
        ),
        "timer" => {
            format!("M{} {}v-{}M{} {}h{}", short(x), short(y), short(r * 1.2), short(x), short(y), short(r * 0.8))
        }
        "terminate" => {
            let _ = write!(
                out,
                "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"#1b1b1b\"/>",
                short(x),
                short(y),
                short(radius * 0.6)
            );
            return;
        }
        "error" => format!(
            "M{} {}l{} -{}l{} {}l{} -{}",
            short(x - r),
            short(y + r),
            short(r * 0.7),
            short(r * 1.6),
            short(r * 0.6),
            short(r),
            short(r * 0.7),
            short(r * 1.6)
        ),
        "signal" => format!("M{} {}l{} {}h-{}z", short(x), short(y - r), short(r), short(1.6 * r), short(2.0 * r)),
        "escalation" => format!(
            "M{} {}l{} {}l-{} -{}l-{} {}z",
            short(x),
            short(y - r),
            short(r * 0.7),
            short(2.0 * r),
            short(r * 0.7),
            short(r * 0.7),
            short(r * 0.7),
            short(r * 0.7)
        ),
        "conditional" => format!(
            "M{} {}h{}v{}h-{}zm2 4h{}m-{} 4h{}",
            short(x - r * 0.7),
            short(y - r),
            short(1.4 * r),
            short(2.0 * r),
            short(1.4 * r),
            short(1.4 * r - 4.0),
            short(1.4 * r - 4.0),
            short(1.4 * r - 4.0)
        ),
        _ => return,
    };
    let _ = write!(out, "<path class=\"bpmn-sign\" d=\"{path}\"/>");
}

pub(super) fn gateway(out: &mut String, kind: &str, area: &Bounds) {
    let (x, y) = area.middle();
    let (w, h) = (area.width / 2.0, area.height / 2.0);
    let _ = write!(
        out,
        "<path class=\"bpmn-gateway\" d=\"M{} {}l{} {}l-{} {}l-{} -{}z\" fill=\"#fdf7e7\" stroke-width=\"1.5\"/>",
        short(x),
        short(y - h),
        short(w),
        short(h),
        short(w),
        short(h),
        short(w),
        short(h)
    );
    let r = w.min(h) * 0.4;
    match kind {
        "parallelGateway" => plus(out, (x, y), r),
        "exclusiveGateway" => {
            let _ = write!(
                out,
                "<path class=\"bpmn-sign\" stroke-width=\"2\" d=\"M{} {}l{d} {d}m0 -{d}l-{d} {d}\"/>",
                short(x - r * 0.7),
                short(y - r * 0.7),
                d = short(r * 1.4)
            );
        }
        "inclusiveGateway" | "eventBasedGateway" => {
            let _ = write!(
                out,
                "<circle class=\"bpmn-sign\" cx=\"{}\" cy=\"{}\" r=\"{}\" stroke-width=\"2\"/>",
                short(x),
                short(y),
                short(r)
            );
        }
        "complexGateway" => {
            plus(out, (x, y), r);
            let _ = write!(
                out,
                "<path class=\"bpmn-sign\" stroke-width=\"2\" d=\"M{} {}l{d} {d}m0 -{d}l-{d} {d}\"/>",
                short(x - r * 0.7),
                short(y - r * 0.7),
                d = short(r * 1.4)
            );
        }
        _ => {}
    }
}

pub(super) fn plus(out: &mut String, (x, y): Point, r: f64) {
    let _ = write!(
        out,
        "<path class=\"bpmn-sign\" stroke-width=\"2\" d=\"M{} {}h{d}M{} {}v{d}\"/>",
        short(x - r),
        short(y),
        short(x),
        short(y - r),
        d = short(2.0 * r)
    );
}

pub(super) fn data_object(out: &mut String, area: &Bounds) {
    let fold = area.width.min(area.height) * 0.3;
    let _ = write!(
        out,
        "<path class=\"bpmn-data\" fill=\"#ffffff\" d=\"M{} {}h{}l{f} {f}v{}h-{}zm{} 0v{f}h{f}\"/>",
        short(area.x),
        short(area.y),
        short(area.width - fold),
        short(area.height - fold),
        short(area.width),
        short(area.width - fold),
        f = short(fold)
    );
}

pub(super) fn data_store(out: &mut String, area: &Bounds) {
    let (rx, ry) = (area.width / 2.0, area.height * 0.12);
    let _ = write!(
        out,
        "<path class=\"bpmn-data\" fill=\"#ffffff\" d=\"M{x} {y}v{h}a{rx} {ry} 0 0 0 {w} 0v-{h}a{rx} {ry} 0 0 0 -{w} 0a{rx} {ry} 0 0 0 {w} 0\"/>",
        x = short(area.x),
        y = short(area.y + ry),
        h = short((area.height - 2.0 * ry).max(0.0)),
        w = short(area.width),
        rx = short(rx),
        ry = short(ry)
    );
}

/// What kind of task it is, as a small sign in its corner.
pub(super) fn task_sign(out: &mut String, kind: &str, area: &Bounds) {
    let (x, y) = (area.x + 6.0, area.y + 6.0);
    let path = match kind {
        "userTask" => "m4 0a2.5 2.5 0 1 1 -.1 0m-4 11c0 -7 8 -7 8 0z",
        "serviceTask" => {
            "m5 2a3 3 0 1 1 -.1 0m0 -2v2m0 6v2m-5 -5h2m6 0h2m-8.5 -3.5l1.5 1.5m4 4l1.5 1.5m0 -7l-1.5 1.5m-4 4l-1.5 1.5"
        }
        "sendTask" | "receiveTask" => "h12v8h-12zl6 4.5l6 -4.5",
        "manualTask" => "m0 4h6m-6 0v6h9m0 -2h-3m0 -2h4m-4 -2h4m-4 -2h-2l2 -2",
        "scriptTask" => "h8v11h-8zm2 3h4m-4 2.5h4m-4 2.5h4",
        "businessRuleTask" => "h11v9h-11zm0 3h11m-7.5 -3v9m0 -3h7.5",
        _ => return,
    };
    let fill = if kind == "sendTask" { "#c9d3df" } else { "none" };
    let _ = write!(
        out,
        "<path class=\"bpmn-kind\" fill=\"{fill}\" stroke-width=\"0.9\" d=\"M{} {}{path}\"/>",
        short(x),
        short(y)
    );
}
