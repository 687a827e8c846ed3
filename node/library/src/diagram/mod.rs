//! A BPMN model as a picture and as a list of steps.
//!
//! Owns the reading of models and of their diagram interchange, the SVG, and the order of steps. Pure: bytes in, text out. What is
//! drawn comes from foreign files: every text is escaped, every number is bounded, nothing refers to anything outside of the picture,
//! and no style or script is in it, so that it may stand in a page under a strict content policy.
//!
//! SPEC: OMG BPMN 2.0.2, §12 (diagram interchange). A model without a diagram has steps only.

mod draw;
mod model;
mod steps;
#[cfg(test)]
mod tests;
mod text;

pub use steps::{Step, Way};

/// Largest model that is read, in bytes. The largest of the BPMN MIWG's test models has 1 MiB.
pub const MODEL_MAX_BYTES: usize = 8 << 20;
/// Largest picture, in bytes: what does not fit is not shown at all.
pub const PICTURE_MAX_BYTES: usize = 2 << 20;

/// Why a model is not shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiagramError {
    /// Over [`MODEL_MAX_BYTES`].
    #[error("the model has more than {MODEL_MAX_BYTES} bytes")]
    TooLong,
    /// Not XML that can be read, or more of it than is read.
    #[error("the model cannot be read: {0}")]
    Malformed(String),
    /// XML, and no BPMN 2.0.
    #[error("this is no BPMN 2.0 model")]
    NotBpmn,
}

/// One picture of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// An `svg` element. It names itself by `aria-label`; styling is the page's, by class.
    pub svg: String,
}

/// A model, shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    /// Its pictures; none if it has no diagram, or one that is too large.
    pub pictures: Vec<Picture>,
    /// Its steps, in the order in which the flow reaches them.
    pub steps: Vec<Step>,
}

/// Shows a model.
///
/// # Errors
/// [`DiagramError`].
pub fn show(bytes: &[u8]) -> Result<Shown, DiagramError> {
    if bytes.len() > MODEL_MAX_BYTES {
        return Err(DiagramError::TooLong);
    }
    let text = text::decode(bytes).ok_or_else(|| DiagramError::Malformed("neither UTF-8 nor UTF-16".to_owned()))?;
    let options = roxmltree::ParsingOptions { allow_dtd: false, nodes_limit: model::NODES_MAX, ..Default::default() };
    let document =
        roxmltree::Document::parse_with_options(&text, options).map_err(|e| DiagramError::Malformed(e.to_string()))?;
    let model = model::Model::read(&document).ok_or(DiagramError::NotBpmn)?;
    Ok(Shown { pictures: draw::pictures(&model), steps: steps::steps(&model) })
}
