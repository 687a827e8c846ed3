//! What the admin socket says and understands: the typed requests and answers that command line and daemon share.
//!
//! Owns names and JSON forms only. Every request names its federation in the same optional field; ids stand in their text
//! forms, moments as RFC 3339, sizes in bytes, durations in milliseconds. Never decides anything and never reads a clock except
//! in [`Moment::now`]. Answers may gain fields: clients ignore unknown ones. Requests refuse unknown fields: a misspelt option
//! must not be silently ignored.

mod federation;
mod moment;
mod operation;
mod peer;
mod process;
mod release;
mod status;
mod sync;

pub use federation::*;
pub use moment::Moment;
pub use operation::*;
pub use peer::*;
pub use process::*;
pub use release::*;
pub use status::*;
pub use sync::*;

/// Defines a request: its own fields, and the federation that it is for.
macro_rules! request {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $ty:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// Slug or id of the federation; needed only on a node with several.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub federation: Option<String>,
            $($(#[$field_meta])* pub $field: $ty,)*
        }
    };
}
pub(crate) use request;

request! {
    /// A request without parameters of its own.
    Scope {}
}

/// Nothing more to say than that it was done.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Done {
    /// What was done, in one sentence; empty if the command says it all.
    #[serde(default)]
    pub text: String,
}
