//! The start: which federations there are.

use maud::html;

use super::language::Language;
use super::{Answer, layout, see};
use crate::http::routes::Call;

/// `/`: with one federation that is its search.
pub(super) async fn page(call: Call) -> Answer {
    let language = Language::of(&call.headers);
    let [] = call.query([])?;
    let _making = call.making().await?;
    let mut all = call.library().federations(&call.reader).await?;
    all.retain(|federation| call.reader.may_read(&federation.slug));
    if let [only] = all.as_slice() {
        return Ok(see(&format!("/f/{}", only.slug)));
    }
    let body = html! {
        @if all.is_empty() {
            p { (language.of_two("Dieser Knoten gehört noch zu keinem Verbund.", "This node is in no federation yet.")) }
        }
        ul class="cards" {
            @for federation in &all { li { a href={ "/f/" (federation.slug) } { (federation.name) } } }
        }
    };
    super::html(&call, layout::Page::new(&call, language, language.of_two("Verbünde", "Federations")).show(body))
}
