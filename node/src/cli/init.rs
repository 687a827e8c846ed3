//! `verbund init`: a data directory for a member.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use verbund_protocol::ids::Handle;
use verbund_protocol::keys::SecretKey;

use super::Context;
use super::exit::Failure;
use super::host::{Founding, MemberKeys, hosts};
use crate::config::{Endpoint, FILE_NAME};
use crate::keys::{KeyError, KeyFiles, KeyRole, generate};

/// Make a data directory: keys, identity, certificate, configuration.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The member's handle, ISO 3166-2 in lower case: de-he.
    #[arg(long)]
    handle: Handle,
    /// The member's name: Hessen.
    #[arg(long)]
    name: String,
    /// Where to listen for peers; may be repeated; port 0 takes a free one and keeps it.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Vec<Endpoint>,
    /// What peers are told, if it differs from where the node listens; may be repeated.
    #[arg(long, value_name = "HOST:PORT")]
    announce: Vec<Endpoint>,
    /// Where to serve HTTPS; may be repeated.
    #[arg(long, value_name = "HOST:PORT")]
    https: Vec<Endpoint>,
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        let text = error.to_string();
        match error {
            KeyError::Io { what, path, source } => Self::io(format!("{what} {}", path.display()), &source),
            KeyError::Exposed { .. } | KeyError::Foreign { .. } => {
                Self::failed(text).next("if others may have read it, make a new identity version with new keys")
            }
            _ => Self::failed(text),
        }
    }
}

/// What `--json` shows.
#[derive(serde::Serialize)]
struct Made<'a> {
    handle: &'a Handle,
    name: &'a str,
    fingerprint: &'a str,
    peer: String,
    data_dir: &'a Path,
    certificate: Option<&'a Path>,
}

/// Makes the data directory. `node.toml` comes last: as long as it is missing, repeating the command goes on where it stopped.
pub(super) fn run(context: &Context<'_>, args: &Args) -> Result<(), Failure> {
    let data_dir = context.data_dir.as_path();
    let file = data_dir.join(FILE_NAME);
    let text = config_text(args)?;
    if file.symlink_metadata().is_ok() {
        return Err(already(data_dir, &file));
    }
    directory(data_dir)?;
    let keys = keys(&KeyFiles::at(data_dir, None))?;
    let hosts = hosts(args.https.iter().chain(&args.announce));
    let founding = Founding { data_dir, handle: &args.handle, name: args.name.trim(), keys: &keys, hosts: &hosts };
    let founded = context.host.found(&founding)?;
    write_new(&file, text.as_bytes()).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => already(data_dir, &file),
        _ => Failure::io(format!("cannot write {}", file.display()), &error),
    })?;
    let made = Made {
        handle: &args.handle,
        name: args.name.trim(),
        fingerprint: &founded.fingerprint,
        peer: keys.node.peer().to_string(),
        data_dir,
        certificate: founded.certificate.as_deref(),
    };
    context.out.show(&made, |out, made| {
        let mut table = super::output::Table::plain(2);
        table.row(&["member", &format!("{} ({})", made.handle, made.name)]);
        table.row(&["fingerprint", made.fingerprint]);
        table.row(&["node", &made.peer]);
        if let Some(certificate) = made.certificate {
            table.row(&["certificate", &certificate.display().to_string()]);
        }
        table.write(out)
    })?;
    let dir = data_dir.display();
    context.out.note(format!(
        "made {dir}; back up {dir}/keys now, and move root.pem off this machine when you go into operation\n\
         next:  verbund run --data-dir {dir}\n\
         then:  verbund --data-dir {dir} federation create NAME, or peer add TICKET to join one"
    ));
    Ok(())
}

fn already(data_dir: &Path, file: &Path) -> Failure {
    let whose = std::fs::read_to_string(file)
        .ok()
        .and_then(|text| toml::from_str::<crate::config::Config>(&text).ok())
        .and_then(|config| config.handle)
        .map_or_else(String::new, |handle| format!(" for {handle}"));
    Failure::failed(format!("{} is initialised already{whose}; nothing was changed", data_dir.display()))
        .next(format!("start it with `verbund run --data-dir {}`, or choose another directory", data_dir.display()))
}

/// Makes the directory, or takes an existing one that is empty, or that an interrupted `init` left.
fn directory(path: &Path) -> Result<(), Failure> {
    let io = |what: &str| {
        let what = format!("{what} {}", path.display());
        move |error: std::io::Error| Failure::io(what, &error)
    };
    if path.metadata().is_ok_and(|meta| !meta.is_dir()) {
        return Err(Failure::failed(format!("{} is there already and is no directory", path.display()))
            .next("choose an empty or a new directory"));
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io("cannot create"))?;
    let entries = std::fs::read_dir(path).map_err(io("cannot read"))?;
    let foreign: Vec<String> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name != "lost+found")
        .collect();
    if !foreign.is_empty() && !foreign.iter().any(|name| name == "keys") {
        let text = format!("{} is not empty (it holds {})", path.display(), super::output::clean(&foreign.join(", ")));
        return Err(Failure::failed(text).next("choose an empty or a new directory"));
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(io("cannot close to others"))
}

/// Keys that lie there from an interrupted run are kept, missing ones made.
fn keys(files: &KeyFiles) -> Result<MemberKeys, Failure> {
    let key = |role: KeyRole| -> Result<SecretKey, Failure> {
        if let Some(key) = files.load(role)? {
            return Ok(key);
        }
        let key = generate()?;
        files.store(role, &key)?;
        Ok(key)
    };
    Ok(MemberKeys {
        root: key(KeyRole::Root)?,
        approver: key(KeyRole::Approver)?,
        publisher: key(KeyRole::Publisher)?,
        node: key(KeyRole::Node)?,
    })
}

/// What was chosen, as a short `node.toml`, checked before anything is made.
fn config_text(args: &Args) -> Result<String, Failure> {
    let quote = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let endpoints = |list: &[Endpoint]| {
        let items: Vec<String> = list.iter().map(|endpoint| quote(&endpoint.to_string())).collect();
        format!("[{}]", items.join(", "))
    };
    let mut text = String::from(
        "# Configuration of this node. All other keys, their defaults and what they mean: config/node.toml of the\n\
         # distribution. `verbund config check` finds mistakes, `verbund config show` prints what is in effect.\n\n",
    );
    text.push_str(&format!("handle = {}\nname = {}\n", quote(args.handle.as_str()), quote(args.name.trim())));
    for (key, list) in [("listen", &args.listen), ("announce", &args.announce)] {
        if !list.is_empty() {
            text.push_str(&format!("{key} = {}\n", endpoints(list)));
        }
    }
    if !args.https.is_empty() {
        text.push_str(&format!("\n[https]\nlisten = {}\n", endpoints(&args.https)));
    }
    match crate::config::check_text("init", &text).into_iter().next() {
        Some(mistake) => Err(Failure::new(
            super::Exit::Usage,
            format!("--{}: {}", mistake.key.replace("https.listen", "https"), mistake.text),
        )),
        None => Ok(text),
    }
}

/// Writes a file that must not exist; durable when it returns.
fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("toml.new");
    let _ = std::fs::remove_file(&temporary);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&temporary, path);
    std::fs::remove_file(&temporary)?;
    linked?;
    match path.parent() {
        Some(dir) => std::fs::File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}
