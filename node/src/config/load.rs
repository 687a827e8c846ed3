//! Putting the layers together: defaults < file < environment < flags.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ::config::{Config as Stack, File, FileFormat, builder::DefaultState};
use serde_json::Value;
use verbund_protocol::words::shown;

use super::check::{Mistake, at, contradictions, leaves, located, read, schema, suggest};
use super::{Config, FILE_NAME};
use crate::admin::api::ConfigValue;

/// Environment variables that are flags of the command line and no configuration.
const CONTROL: [&str; 6] = [
    "VERBUND_DATA_DIR",
    "VERBUND_SOCKET",
    "VERBUND_FEDERATION",
    "VERBUND_CONFIG",
    "VERBUND_TOKEN_FILE",
    "VERBUND_CACERT",
];

/// Where values come from.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// The file; a missing one is an error only if it is `required`.
    pub file: Option<PathBuf>,
    /// The caller named the file.
    pub required: bool,
    /// The environment; only names that start with `VERBUND_` are looked at.
    pub environment: Vec<(String, String)>,
    /// Keys set by flags, with the flag's name: `("https.listen", values, "--https")`.
    pub flags: Vec<(String, Vec<String>, String)>,
}

impl Layers {
    /// The layers of a node with this data directory, with the process's environment. `file` overrides the place of the file.
    pub fn of(data_dir: &std::path::Path, file: Option<PathBuf>) -> Self {
        let required = file.is_some();
        Self {
            file: Some(file.unwrap_or_else(|| data_dir.join(FILE_NAME))),
            required,
            environment: environment(),
            flags: Vec::new(),
        }
    }
}

/// The process's variables that start with `VERBUND_`. One that is not UTF-8 is passed on with replacements, so that it is refused
/// by name if it is a key.
fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| name.starts_with("VERBUND_"))
        .collect()
}

/// The result of all layers.
#[derive(Debug, Clone)]
pub struct Effective {
    /// The configuration.
    pub config: Config,
    /// Every value with its origin.
    pub values: Vec<ConfigValue>,
    /// What is ignored although it might have been meant.
    pub warnings: Vec<String>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Mistakes, all that could be found.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Mistakes(Vec<Mistake>),
}

/// One value that overrides the file.
struct Override {
    key: String,
    values: Vec<String>,
    list: bool,
    origin: String,
}

impl Override {
    fn apply(
        &self,
        builder: ::config::ConfigBuilder<DefaultState>,
    ) -> Result<::config::ConfigBuilder<DefaultState>, ::config::ConfigError> {
        if self.list {
            return builder.set_override(&self.key, self.values.clone());
        }
        builder.set_override(&self.key, self.values.last().map_or("", String::as_str))
    }

    /// Reads this value alone, so that a mistake names its variable or flag.
    fn check(&self) -> Result<(), Mistake> {
        let read = || self.apply(Stack::builder())?.build()?.try_deserialize::<Config>();
        read().map(drop).map_err(|error| Mistake {
            source: self.origin.clone(),
            place: None,
            key: self.key.clone(),
            text: error.to_string(),
        })
    }
}

/// Puts the layers together.
///
/// # Errors
/// [`ConfigError`] with every mistake that could be found.
pub fn load(layers: &Layers) -> Result<Effective, ConfigError> {
    let schema = schema();
    let (name, text) = file(layers)?;
    let reading = read(&name, &text);
    let mut mistakes = reading.mistakes;
    let mut warnings = Vec::new();
    let mut overrides = from_environment(&layers.environment, &schema, &mut mistakes, &mut warnings);
    overrides.extend(layers.flags.iter().map(|(key, values, flag)| Override {
        key: key.clone(),
        values: values.clone(),
        list: at(&schema, key).is_some_and(Value::is_array),
        origin: format!("flag {flag}"),
    }));
    mistakes.extend(overrides.iter().filter_map(|o| o.check().err()));
    if !mistakes.is_empty() {
        return Err(ConfigError::Mistakes(mistakes));
    }
    let stack = || {
        let base = Stack::builder().add_source(File::from_str(&text, FileFormat::Toml));
        let all = overrides.iter().try_fold(base, |builder, o| o.apply(builder))?;
        all.build()?.try_deserialize::<Config>()
    };
    let config = stack().map_err(|error| {
        let text = error.to_string();
        ConfigError::Mistakes(vec![Mistake { source: name.clone(), place: None, key: String::new(), text }])
    })?;
    let origins: BTreeMap<&str, &str> = reading
        .keys
        .iter()
        .map(|(key, _)| (key.as_str(), "file"))
        .chain(overrides.iter().map(|o| (o.key.as_str(), o.origin.as_str())))
        .collect();
    let wrong = contradictions(&config);
    if !wrong.is_empty() {
        let mistake = |(key, words): (String, String)| match origins.get(key.as_str()) {
            Some(&"file") | None => located(&name, &text, &reading.keys, key, words),
            Some(origin) => Mistake { source: (*origin).to_owned(), place: None, key, text: words },
        };
        return Err(ConfigError::Mistakes(wrong.into_iter().map(mistake).collect()));
    }
    let values = leaves(&serde_json::to_value(&config).unwrap_or_default())
        .into_iter()
        .map(|(key, value)| {
            let origin = origins.get(key.as_str()).copied().unwrap_or("default").to_owned();
            ConfigValue { key, value, origin }
        })
        .collect();
    Ok(Effective { config, values, warnings })
}

/// Name and text of the file.
fn file(layers: &Layers) -> Result<(String, String), ConfigError> {
    let Some(path) = &layers.file else { return Ok((FILE_NAME.to_owned(), String::new())) };
    match std::fs::read_to_string(path) {
        Ok(text) => Ok((path.display().to_string(), text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !layers.required => {
            Ok((path.display().to_string(), String::new()))
        }
        Err(source) => Err(ConfigError::Unreadable { path: path.clone(), source }),
    }
}

/// `VERBUND_HTTPS__LISTEN` sets `https.listen`; lists are separated by commas. A name with `__` that is no key is a mistake; one
/// without is only pointed out, because service managers set such variables by themselves.
fn from_environment(
    environment: &[(String, String)],
    schema: &Value,
    mistakes: &mut Vec<Mistake>,
    warnings: &mut Vec<String>,
) -> Vec<Override> {
    let mut found = Vec::new();
    let all: Vec<String> = leaves(schema).into_iter().map(|(key, _)| key).collect();
    for (variable, value) in environment {
        let Some(name) = variable.strip_prefix("VERBUND_") else { continue };
        if CONTROL.contains(&variable.as_str()) {
            continue;
        }
        let key = name.to_lowercase().replace("__", ".");
        match at(schema, &key) {
            Some(known) if !known.is_object() => {
                let list = known.is_array();
                let values = if list {
                    value.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
                } else {
                    vec![value.clone()]
                };
                found.push(Override { key, values, list, origin: format!("environment {variable}") });
            }
            _ => {
                let meant = suggest(&key, &all)
                    .map(|key| format!("; did you mean VERBUND_{}?", key.to_uppercase().replace('.', "__")))
                    .unwrap_or_default();
                if name.contains("__") {
                    let text = format!("no such key{meant}");
                    mistakes.push(Mistake { source: format!("environment {variable}"), place: None, key, text });
                } else {
                    warnings.push(shown(format_args!("the variable {variable} is no key and is ignored{meant}")));
                }
            }
        }
    }
    found
}
