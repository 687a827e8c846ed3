//! `verbund token`.

use super::Context;
use super::exit::Failure;
use super::output::{Table, clean, list, since};
use crate::admin::api::{Moment, Scope, TokenCreateRequest, TokenRequest, TokenScope};
use crate::admin::op;
use crate::config::Interval;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make a token; it is shown once, alone on stdout.
    Create {
        /// Which system it is for.
        name: String,
        /// What it allows; may be repeated [default: read].
        #[arg(long, value_name = "SCOPE")]
        scope: Vec<TokenScope>,
        /// How long it is valid: 365d.
        #[arg(long, value_name = "DURATION")]
        valid_for: Option<Interval>,
    },
    /// All tokens, without their secrets.
    Ls,
    /// Revoke a token at once.
    Revoke {
        /// Id or name; or the token itself, if that is all that is known of one that leaked.
        token: String,
    },
}

/// A command that uses the token, with this node's address and certificate as far as they are known.
async fn example(context: &Context<'_>, federation: &str) -> String {
    let status = context.call::<op::Status>(Scope::default()).await.ok();
    let https = status.and_then(|status| status.addresses.https.first().cloned());
    let authority = context.data_dir.join("https.crt");
    let trust = if authority.exists() { format!("--cacert {} ", authority.display()) } else { String::new() };
    let host = https.unwrap_or_else(|| "HOST:PORT".to_owned());
    format!("curl {trust}-H \"Authorization: Bearer TOKEN\" https://{host}/api/v1/{federation}/processes")
}

pub(super) async fn run(context: &Context<'_>, command: Command) -> Result<(), Failure> {
    let federation = context.federation();
    match command {
        Command::Create { name, scope, valid_for } => {
            let request = TokenCreateRequest { federation, name, scopes: scope, valid_ms: valid_for.map(Interval::ms) };
            let answer = context.call::<op::TokenCreate>(request).await?;
            context.out.show(&answer, |out, answer| out.line(clean(&answer.token)))?;
            context.out.note(format!(
                "id {}, valid until {}; it is not shown again\nuse:   {}",
                clean(&answer.view.id),
                answer.view.valid_until,
                clean(&example(context, &answer.view.federation).await)
            ));
            Ok(())
        }
        Command::Ls => {
            let answer = context.call::<op::TokenList>(Scope { federation }).await?;
            if answer.tokens.is_empty() {
                context.out.note("no tokens yet\nnext:  verbund token create NAME");
                return if context.out.json { context.out.json(&answer) } else { Ok(()) };
            }
            context.out.show(&answer, |out, answer| {
                let now = Moment::now();
                let mut table = Table::new(&["ID", "NAME", "FEDERATION", "SCOPES", "VALID UNTIL", "LAST USED"]);
                for t in &answer.tokens {
                    let scopes: Vec<_> = t.scopes.iter().map(|scope| format!("{scope:?}").to_lowercase()).collect();
                    let until = if t.revoked { "revoked".to_owned() } else { t.valid_until.to_string() };
                    let used = t.last_used.map_or_else(|| "–".to_owned(), |at| format!("{} ago", since(at, now)));
                    table.row(&[&t.id, &t.name, &t.federation, &list(&scopes), &until, &used]);
                }
                table.write(out)
            })
        }
        Command::Revoke { token } => {
            context.done::<op::TokenRevoke>(TokenRequest { federation, token }, "revoked").await
        }
    }
}
