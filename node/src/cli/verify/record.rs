//! The Prüfprotokoll: what was checked, with what result, for auditors. German Markdown.
//!
//! Owns its words. Equal checks give equal text but for the time of the check. Text from the proof never becomes markup.

use std::fmt::Write as _;

use verbund_protocol::provenance::{Facts, Report, Step, StepName, Verdict};

use super::{Checked, TOOL, trusted};
use crate::admin::api::Moment;
use crate::cli::output::{clean, since};

/// Text of others as Markdown shows it as it is.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in clean(text).chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '|' | '<' | '>' | '[' | ']' | '#' | '!' | '&' | '~' | '$') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn moment(seconds: u64) -> String {
    Moment::from_unix_ms(seconds.saturating_mul(1_000)).to_string()
}

/// Title of a step, and what it requires.
const fn words(name: StepName) -> (&'static str, &'static str) {
    match name {
        StepName::Federation => (
            "Föderation",
            "Der SHA-256-Wert der Gründungssatzung ist die Kennung der Föderation, und diese ist die vertraute, falls eine genannt ist.",
        ),
        StepName::Charters => (
            "Satzungskette",
            "Jede Satzungsfassung ist von den stimmberechtigten Mitgliedern der vorigen bestätigt (⌊2n/3⌋ + 1 Zustimmungen und ebenso \
             viele Stimmen ihrer Knoten); Unterschriften und Schlüsselwechsel wurden nachgerechnet.",
        ),
        StepName::Anchor => (
            "Vertrauensanker",
            "Die Satzungsfassung, der der Prüfende aus anderer Quelle vertraut, ist eine der Kette.",
        ),
        StepName::Checkpoint => (
            "Prüfpunkt des Logbuchs",
            "Der Stand des Logbuchs (Größe und Wurzel) ist vom Knoten unterschrieben, der es führt.",
        ),
        StepName::Inclusion => (
            "Eintrag im Logbuch",
            "Die Veröffentlichung und die Einträge, aus denen sich die Berechtigung ergibt, stehen nachweislich unter diesem Prüfpunkt.",
        ),
        StepName::Authority => (
            "Zuständigkeit",
            "Wem das Logbuch gehört, und nach welcher Satzung und welchem Schlüsselverzeichnis die Veröffentlichung zu beurteilen ist.",
        ),
        StepName::Witnesses => (
            "Bezeugung",
            "Wie viele andere Mitglieder den Prüfpunkt mitgezeichnet haben. Zu wenige sind ein Hinweis und kein Fehler.",
        ),
        StepName::End => (
            "Ende des Logbuchs",
            "Keine Satzung und keine Übergabe in der Datei beendet das Logbuch unterhalb der Veröffentlichung.",
        ),
        StepName::Release => (
            "Unterschrift der Veröffentlichung",
            "Die Veröffentlichung ist von so vielen Schlüsseln des zuständigen Mitglieds unterschrieben, wie dieses verlangt.",
        ),
        StepName::Manifest => (
            "Dateiverzeichnis",
            "Das Verzeichnis der Dateien ist das, das die Veröffentlichung nennt (SHA-256, Umfang).",
        ),
        StepName::Files => (
            "Dateien",
            "Der Ordner enthält genau die Dateien des Verzeichnisses, jede mit ihrer Größe und ihrem SHA-256-Wert.",
        ),
    }
}

/// What was not checked, whatever came out.
const NOT_CHECKED: [&str; 6] = [
    "Rückrufe, Abkündigungen und Übertragungen nach dem Prüfpunkt: Sie sind ohne Netz nicht zu erkennen. `verbund process show` auf \
     einem Knoten der Föderation nennt sie.",
    "Ob das Logbuch nach den Satzungen in der Datei unterhalb der Veröffentlichung geschlossen wurde.",
    "Ob dasselbe Logbuch eine frühere Veröffentlichung derselben Version oder spätere Schlüssel oder Satzungen enthält, die in der \
     Datei fehlen. Mitglieder, die das ganze Logbuch halten, erkennen das.",
    "Ob die Unterschreibenden zur Unterschrift befugt waren und ihre Schlüssel geheim gehalten haben.",
    "Ob der Prozess fachlich richtig, rechtmäßig oder frei von Schadfunktionen ist.",
    "Die Uhren: Zeitangaben sind die der jeweiligen Unterschreibenden, die Zeit der Prüfung ist die dieses Rechners.",
];

/// The text of the Prüfprotokoll.
pub(super) fn write(checked: &Checked<'_>) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = all(&mut out, checked);
    out
}

fn all(out: &mut String, checked: &Checked<'_>) -> std::fmt::Result {
    writeln!(out, "# Prüfprotokoll\n")?;
    writeln!(out, "**Ergebnis: {}**\n", result(checked))?;
    head(out, checked)?;
    match &checked.report {
        Ok(report) => found(out, checked, report)?,
        Err(why) => writeln!(out, "\n## Befund\n\nDer Nachweis ist nicht lesbar: {}", plain(why))?,
    }
    writeln!(out, "\n## Nicht geprüft\n")?;
    for text in NOT_CHECKED {
        writeln!(out, "- {text}")?;
    }
    writeln!(out, "\n## Nachprüfen\n")?;
    writeln!(
        out,
        "Dieselbe Prüfung führt `scripts/verify.py` aus, ein zweites Programm ohne gemeinsamen Code mit diesem. \
         Die Schritte stehen in `protocol/SPEC.md`, Teil 20."
    )
}

fn result(checked: &Checked<'_>) -> &'static str {
    match checked.report.as_ref().map(Report::verdict) {
        Ok(Verdict::Verified) => "bestanden",
        Ok(Verdict::Unanchored) => {
            "in sich stimmig, aber ohne Vertrauensanker – ob die Föderation die richtige ist, bleibt offen"
        }
        Ok(Verdict::Failed) => "nicht bestanden – der Ordner darf nicht verwendet werden",
        Err(_) => "nicht bestanden – der Nachweis ist nicht lesbar",
    }
}

fn row(out: &mut String, name: &str, value: &str) -> std::fmt::Result {
    writeln!(out, "| {name} | {value} |")
}

fn table(out: &mut String, headings: &[&str]) -> std::fmt::Result {
    writeln!(out, "| {} |", headings.join(" | "))?;
    writeln!(out, "|{}", "---|".repeat(headings.len()))
}

fn head(out: &mut String, checked: &Checked<'_>) -> std::fmt::Result {
    table(out, &["Prüfung", ""])?;
    row(out, "Zeitpunkt", &checked.at.to_string())?;
    row(out, "Programm", TOOL)?;
    row(out, "Ordner", &plain(&checked.dir.display().to_string()))?;
    let (hash, bytes) = checked.proof;
    row(out, "Nachweis", &format!("`.verbund/provenance.json`, {bytes} Bytes, `{hash}`"))?;
    let trust = checked.trust.map_or_else(|| "keiner genannt".to_owned(), |trust| format!("`{}`", trusted(&trust)));
    row(out, "Vertrauensanker", &trust)
}

fn found(out: &mut String, checked: &Checked<'_>, report: &Report) -> std::fmt::Result {
    if let Some(release) = &report.release {
        subject(out, release)?;
    }
    writeln!(out, "\n## Schritte\n")?;
    for (number, step) in (1..).zip(&report.steps) {
        tell(out, number, step)?;
    }
    witnesses(out, checked, report)?;
    lists(out, report)
}

fn subject(out: &mut String, release: &Facts) -> std::fmt::Result {
    writeln!(out, "\n## Gegenstand\n")?;
    table(out, &["Angabe", ""])?;
    row(out, "Prozess", &format!("{}/{} {}", release.handle, release.process, plain(&release.version)))?;
    row(out, "Titel", &plain(&release.title))?;
    row(out, "Mitglied", &format!("{}, `{}`", plain(&release.member_name), release.member))?;
    row(out, "Föderation", &format!("{}, `{}`", plain(&release.federation_name), release.federation))?;
    row(out, "Neueste Satzung", &format!("Fassung {}, `{}`", release.charter_version, release.charter))?;
    let judged =
        format!("Satzung Fassung {}, Schlüsselverzeichnis Fassung {}", release.judged_by, release.identity_version);
    row(out, "Beurteilt nach", &judged)?;
    row(out, "Veröffentlichung", &format!("`{}`", release.release))?;
    let keys: Vec<_> = release.signed_by.iter().map(|key| format!("`{key}`")).collect();
    row(out, "Unterschrieben mit", &keys.join(", "))?;
    row(out, "Veröffentlicht", &format!("{} (Angabe des Mitglieds)", moment(release.published_s)))?;
    row(out, "Lizenz", &plain(&release.license))?;
    row(
        out,
        "Dateiverzeichnis",
        &format!("`{}`, {} Dateien, {} Bytes", release.manifest, release.files, release.total_size),
    )?;
    row(out, "Logbuch", &format!("`{}`, Eintrag {}", release.log, release.index))?;
    row(out, "Prüfpunkt", &format!("{} Einträge, Wurzel `{}`", release.checkpoint_size, release.checkpoint_root))?;
    row(out, "Bezogen", &format!("{} von Knoten `{}` (unbelegt)", moment(release.pulled_at_s), release.served_by))
}

fn tell(out: &mut String, number: usize, step: &Step) -> std::fmt::Result {
    let (title, rule) = words(step.name);
    let result = match (step.ok, step.name) {
        (true, _) => "erfüllt",
        (false, StepName::Anchor) => "offen",
        (false, _) => "NICHT ERFÜLLT",
    };
    writeln!(out, "{number}. **{title}** ({}): {result}.", step.name)?;
    writeln!(out, "   Verlangt: {rule}")?;
    writeln!(out, "   Meldung des Programms: {}", plain(&step.text))
}

fn witnesses(out: &mut String, checked: &Checked<'_>, report: &Report) -> std::fmt::Result {
    let Some(witnessed) = &report.witnessed else { return Ok(()) };
    writeln!(out, "\n## Bezeugung\n")?;
    writeln!(
        out,
        "{} von {} anderen Mitgliedern haben den Prüfpunkt mitgezeichnet, {} sind nötig (gezählt nach Satzung Fassung {}).",
        witnessed.count, witnessed.of, witnessed.needed, witnessed.charter
    )?;
    match report.checkpoint_time_s {
        Some(at) => {
            let age = since(Moment::from_unix_ms(at.saturating_mul(1_000)), checked.at);
            writeln!(out, "Stand des Wissens: {}, bei der Prüfung {age} alt.", moment(at))?;
        }
        None => writeln!(out, "Niemand nennt die Zeit des Prüfpunkts; sein Alter ist unbekannt.")?,
    }
    if report.cosigners.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    table(out, &["Mitglied", "Knoten", "Zeit (Angabe des Knotens)"])?;
    for cosigner in &report.cosigners {
        let member = cosigner.member.as_ref().map_or_else(|| "keines".to_owned(), ToString::to_string);
        writeln!(out, "| {member} | `{}` | {} |", cosigner.node, moment(cosigner.time_s))?;
    }
    Ok(())
}

fn lists(out: &mut String, report: &Report) -> std::fmt::Result {
    if !report.charters.is_empty() {
        writeln!(out, "\n## Satzungen\n")?;
        table(out, &["Fassung", "SHA-256", ""])?;
        for (version, hash) in (1_u64..).zip(&report.charters) {
            let trusted = if report.trusted == Some(version) { "Vertrauensanker" } else { "" };
            writeln!(out, "| {version} | `{hash}` | {trusted} |")?;
        }
    }
    if !report.listed.is_empty() {
        writeln!(out, "\n## Dateien\n")?;
        table(out, &["Pfad", "Bytes", "SHA-256", "im Ordner"])?;
        for file in &report.listed {
            let state = report.files.as_ref().map_or("nicht verglichen", |diff| {
                match (diff.missing.contains(&file.path), diff.changed.contains(&file.path)) {
                    (true, _) => "FEHLT",
                    (_, true) => "VERÄNDERT",
                    _ => "gleich",
                }
            });
            writeln!(out, "| {} | {} | `{}` | {state} |", plain(&file.path), file.size, file.sha256)?;
        }
        for path in report.files.iter().flat_map(|diff| &diff.extra) {
            writeln!(out, "| {} | | | GEHÖRT NICHT DAZU |", plain(path))?;
        }
    }
    if !report.warnings.is_empty() {
        writeln!(out, "\n## Hinweise des Programms\n")?;
        for warning in &report.warnings {
            writeln!(out, "- {}", plain(warning))?;
        }
    }
    Ok(())
}
