//! A process: what it is, who answers for it, what it needs, whether one may use it, and who vouches for it.

mod facts;
mod flow;

use maud::{Markup, html};
use semver::Version;
use serde_json::Value;

use super::language::Language;
use super::search::{badges, witnessed};
use super::{Answer, layout, see};
use crate::http::library::{PageRequest, ProcessRef, ReleaseRef, ReleaseSummary, ReleaseView};
use crate::http::problem::Problem;
use crate::http::routes::Call;
use crate::http::text::encode_path;

/// Versions that are listed.
const VERSIONS: usize = 50;
/// Files that are listed; all of them stand in the API and come with a pull.
const FILES: usize = 500;

/// `/f/{federation}/p/{member}/{slug}`: the newest version.
pub(super) async fn newest(call: Call) -> Answer {
    let process = call.process()?;
    let [] = call.query([])?;
    let view = call.library().process(&call.reader, &process).await?;
    let version = match (view.latest, view.details["version"].as_str()) {
        (Some(version), _) => version.to_string(),
        (None, Some(version)) => version.to_owned(),
        (None, None) => return Err(Problem::not_found()),
    };
    Ok(see(&format!("/f/{}/p/{}/{}/{version}", process.federation, process.member, process.slug)))
}

/// `/f/{federation}/p/{member}/{slug}/{version}`
pub(super) async fn page(call: Call) -> Answer {
    let language = Language::of(&call.headers);
    let process = call.process()?;
    let [] = call.query([])?;
    let version: Version = call.parameter("version").parse().map_err(|_| Problem::not_found())?;
    let release = ReleaseRef { process: process.clone(), version };
    let _making = call.making().await?;
    let library = call.library();
    let detail = library.federation(&call.reader, &process.federation).await?;
    let about = library.process(&call.reader, &process).await?;
    let view = library.release(&call.reader, &release).await?;
    let versions = library.versions(&call.reader, &process, PageRequest { after: None, limit: VERSIONS }).await?.items;
    let flows = flow::flows(&call, &release, &view).await;
    let shown = Shown { language, release: &release, view: &view, about: &about.details };
    let body = html! {
        (shown.notices(about.latest.as_ref()))
        p class="lead" { (text(&view.metadata, "summary")) }
        (facts::what(&shown))
        (flow::section(language, &flows))
        (facts::responsible(&shown))
        (facts::needs(&shown))
        (facts::may(&shown))
        (shown.vouched())
        (shown.files())
        (shown.commands(&call))
        (shown.versions(&versions))
    };
    let title = text(&view.metadata, "title");
    super::html(&call, layout::Page::new(&call, language, &title).of(&process.federation, &detail.name).show(body))
}

/// What is shown.
struct Shown<'a> {
    language: Language,
    release: &'a ReleaseRef,
    view: &'a ReleaseView,
    about: &'a Value,
}

/// A text of an object; empty if there is none.
fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

impl Shown<'_> {
    fn t(&self, german: &'static str, english: &'static str) -> &'static str {
        self.language.of_two(german, english)
    }

    /// What must be seen before anything else.
    fn notices(&self, latest: Option<&Version>) -> Markup {
        let statements = &self.view.statements;
        let ProcessRef { federation, member, slug } = &self.release.process;
        html! {
            @if let Some(recall) = statements["withdrawn"]["text"].as_str() {
                p class="notice bad" { strong { (self.t("Zurückgerufen: ", "Withdrawn: ")) } (recall) }
            }
            @if let Some(end) = statements["deprecated"]["text"].as_str() {
                p class="notice warn" { strong { (self.t("Abgekündigt: ", "Deprecated: ")) } (end) }
            }
            @if let Some(moved) = self.about["moved_to"].as_str() {
                p class="notice warn" { strong { (self.t("Wird fortgeführt als ", "Continued as ")) } (moved) }
            }
            @if let Some(why) = &self.view.unavailable {
                p class="notice warn" { strong { (self.t("Auf diesem Knoten nicht vollständig: ", "Not complete on this node: ")) } span lang="en" { (why) } }
            }
            @if let Some(latest) = latest.filter(|latest| **latest > self.release.version) {
                p class="notice warn" {
                    (self.t("Es gibt eine neuere Version: ", "There is a newer version: "))
                    a href={ "/f/" (federation) "/p/" (member) "/" (slug) "/" (latest) } { (latest) }
                }
            }
        }
    }

    fn vouched(&self) -> Markup {
        let evidence = &self.view.evidence;
        let names = |key: &str| {
            let names = evidence[key].as_array().into_iter().flatten().filter_map(Value::as_str);
            names.collect::<Vec<_>>().join(", ")
        };
        let count = |key: &str| evidence[key].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or_default();
        let by = evidence["witnesses"].as_array().map_or(0, Vec::len);
        html! {
            section aria-labelledby="vouched" {
                h2 id="vouched" { (self.t("Wer bürgt dafür", "Who vouches for it")) }
                @if self.view.unavailable.is_none() {
                    p class="notice good" {
                        (self.t("Alle Dateien liegen vollständig auf diesem Knoten; jede wurde gegen die Signatur des Herausgebers geprüft.",
                                "All files are complete on this node; each was checked against its publisher's signature."))
                    }
                }
                dl {
                    dt { (self.t("Bezeugt", "Vouched for")) }
                    dd {
                        (witnessed(self.language, by, count("of")))
                        @if by > 0 { ": " (names("witnesses")) }
                        @if evidence["witnessed"] == false && count("needed") > 0 { " (" (self.t("nötig sind", "needed are")) " " (count("needed")) ")" }
                    }
                    dt { (self.t("Vollständig bei", "Held by")) } dd { (names("held_by")) }
                    dt { (self.t("Veröffentlicht", "Published")) }
                    dd { (layout::day(self.language, &text(evidence, "published"))) }
                    dt { (self.t("Eintrag im Protokoll", "Entry in the log")) }
                    dd { (self.t("Nr.", "no.")) " " (count("index")) " in " code class="break" { (text(evidence, "log")) } }
                    dt { (self.t("Kennung der Version", "Id of the release")) }
                    dd { code class="break" { (text(evidence, "digest")) } }
                }
            }
        }
    }

    fn files(&self) -> Markup {
        let ProcessRef { federation, member, slug } = &self.release.process;
        let base = format!("/f/{federation}/p/{member}/{slug}/{}/files", self.release.version);
        let held = self.view.unavailable.is_none();
        html! {
            section aria-labelledby="files" {
                h2 id="files" { (self.t("Dateien", "Files")) " (" (self.view.files.len()) ")" }
                div class="scroll" role="region" aria-label=(self.t("Liste der Dateien", "List of files")) tabindex="0" {
                    table {
                        thead { tr {
                            th scope="col" { (self.t("Datei", "File")) }
                            th scope="col" { (self.t("Größe", "Size")) }
                            th scope="col" { (self.t("Art", "Kind")) }
                        } }
                        tbody {
                            @for file in self.view.files.iter().take(FILES) {
                                tr {
                                    th scope="row" {
                                        @if held { a href={ (base) "/" (encode_path(&file.path)) } { (file.path) } } @else { (file.path) }
                                    }
                                    td { (layout::bytes(self.language, file.size)) }
                                    td { (file.media_type) }
                                }
                            }
                        }
                    }
                }
                @if self.view.files.len() > FILES {
                    p { (self.t("Weitere Dateien kommen beim Herunterladen mit.", "More files come with a pull.")) }
                }
            }
        }
    }

    /// What to type.
    fn commands(&self, call: &Call) -> Markup {
        let ProcessRef { federation, member, slug } = &self.release.process;
        let version = &self.release.version;
        let host = call.headers.get(axum::http::header::HOST).and_then(|value| value.to_str().ok()).unwrap_or("HOST");
        html! {
            section aria-labelledby="pull" {
                h2 id="pull" { (self.t("Herunterladen", "Pull")) }
                h3 { (self.t("Mit Verbund, auf dem Knoten oder entfernt", "With Verbund, on the node or remote")) }
                pre { code { "verbund process pull " (federation) ":" (member) "/" (slug) "@" (version) " OUT\n"
                             "verbund --server https://" (host) " --token-file F process pull " (federation) ":" (member) "/" (slug) "@" (version) " OUT" } }
                h3 { "curl" }
                pre { code { "curl --cacert CA.pem -H \"Authorization: Bearer $TOKEN\" -O \\\n  https://" (host) "/api/v1/" (federation) "/releases/" (member) "/" (slug) "/" (version) "/bundle.tar.zst" } }
                h3 { "skopeo" }
                pre { code { "skopeo copy --src-creds verbund:$TOKEN \\\n  docker://" (host) "/" (federation) "/" (member) "/" (slug) ":" (version) " oci:OUT:" (version) } }
            }
        }
    }

    fn versions(&self, versions: &[ReleaseSummary]) -> Markup {
        let ProcessRef { federation, member, slug } = &self.release.process;
        html! {
            section aria-labelledby="versions" {
                h2 id="versions" { (self.t("Versionen", "Versions")) }
                ul class="results" {
                    @for item in versions {
                        li {
                            p class="facts" {
                                @if item.version == self.release.version { strong { (item.version) " " (self.t("(diese)", "(this one)")) } }
                                @else { a href={ "/f/" (federation) "/p/" (member) "/" (slug) "/" (item.version) } { (item.version) } }
                                span { (layout::day(self.language, &item.published)) }
                                span { (witnessed(self.language, item.witnesses, item.witnesses_of)) }
                                (badges(self.language, item))
                            }
                        }
                    }
                }
            }
        }
    }
}
