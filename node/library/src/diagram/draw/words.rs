//! Names in a picture: broken into lines, in their shape or beside it.

use std::fmt::Write as _;

use super::{FONT, LABEL_MIN, LABEL_WIDTH, LINE, short};
use crate::diagram::model::{Bounds, Point, Shape};
use crate::diagram::text::{escape, lines};

/// Lines of text, centred; `first` is the baseline of the first one.
pub(super) fn block(words: &mut String, first: Point, text: &[String]) {
    for (n, line) in text.iter().enumerate() {
        let y = first.1 + n as f64 * LINE;
        let _ = write!(
            words,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            short(first.0),
            short(y),
            escape(line)
        );
    }
}

pub(super) fn inside(words: &mut String, area: &Bounds, name: &str) {
    let most = ((area.height - 4.0) / LINE).max(1.0) as usize;
    let text = lines(name, area.width - 8.0, FONT, most);
    let (x, y) = area.middle();
    block(words, (x, y + FONT * 0.35 - (text.len().saturating_sub(1)) as f64 * LINE / 2.0), &text);
}

pub(super) fn top_label(words: &mut String, area: &Bounds, name: &str) {
    let text = lines(name, area.width - 8.0, FONT, 2);
    block(words, (area.middle().0, area.y + LINE + 2.0), &text);
}

pub(super) fn beside(words: &mut String, shape: &Shape, name: &str) {
    if name.is_empty() {
        return;
    }
    match shape.label {
        Some(label) => {
            let text = lines(name, label.width.max(LABEL_MIN), FONT, 5);
            block(words, (label.middle().0, label.y + FONT), &text);
        }
        None => {
            let text = lines(name, LABEL_WIDTH.max(shape.bounds.width), FONT, 4);
            block(words, (shape.bounds.middle().0, shape.bounds.y + shape.bounds.height + LINE), &text);
        }
    }
}

/// The name of a pool or lane, along its left side, or across its top.
pub(super) fn side_label(words: &mut String, area: &Bounds, name: &str, horizontal: bool) {
    if !horizontal {
        return top_label(words, area, name);
    }
    let text = lines(name, area.height - 8.0, FONT, 2);
    let (x, y) = (area.x + LINE + 3.0, area.middle().1);
    for (n, line) in text.iter().enumerate() {
        let at = x + n as f64 * LINE;
        let _ = write!(
            words,
            "<text x=\"{0}\" y=\"{1}\" text-anchor=\"middle\" transform=\"rotate(-90 {0} {1})\">{2}</text>",
            short(at),
            short(y),
            escape(line)
        );
    }
}
