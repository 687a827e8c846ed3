//! The Prozessbibliothek as people see it, on a node that does not own what they look at.

use std::path::{Path, PathBuf};
use std::process::Command;

use verbund_tests::{Federation, Folder, samples, until};

use super::pulling::Https;

/// A federation of two with the sample processes.
fn federation() -> Federation {
    let federation = Federation::found(2);
    for folder in samples().iter().take(3) {
        federation.publish("de-he", folder);
    }
    federation.hold(&["de-he", "de-rp"], 3);
    federation
}

fn body(reply: &super::pulling::Reply) -> String {
    String::from_utf8_lossy(&reply.body).into_owned()
}

#[test]
fn pages_find_and_show_what_another_member_published_and_nothing_that_is_hidden() {
    let federation = federation();
    let hostile = "<script>alert(1)</script>";
    let folder = Folder::new(federation.world.path(), "boese").with(&format!("description = \"{hostile}\""));
    federation.publish("de-he", &folder.path);
    let hidden = Folder::new(federation.world.path(), "geheim").with("audience = { members = [\"de-he\"] }");
    federation.publish("de-he", &hidden.path);
    federation.hold(&["de-rp"], 4);
    let Some(https) = Https::new(&federation["de-rp"], federation.world.path()) else { return };
    let cookie = format!("Cookie: __Host-verbund={}", https.token);
    let get = |path: &str| https.plain(path, &["--header", &cookie]);

    // Without a token: the form, and no word of what there is.
    let stranger = https.plain("/f/mitte", &[]);
    assert_eq!(stranger.status, 401);
    assert!(body(&stranger).contains("name=\"token\"") && !body(&stranger).contains("boese"));
    let policy = stranger.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");

    let start = get("/");
    assert_eq!((start.status, start.header("location")), (303, "/f/mitte"));
    let list = get("/f/mitte");
    assert!(body(&list).contains("/f/mitte/p/de-he/boese") && !body(&list).contains("geheim"));
    let found = until("it is found", || {
        let found = body(&get("/f/mitte?q=boese"));
        if found.contains("/f/mitte/p/de-he/boese") { Ok(found) } else { Err(found) }
    });
    assert!(found.contains("von 1 von 1 Partnern bezeugt"), "{found}");
    assert!(!body(&get("/f/mitte?q=geheim")).contains("/p/de-he/geheim"));
    assert_eq!(get("/f/mitte/p/de-he/geheim").status, 404);
    assert_eq!(get("/f/mitte/p/de-he/geheim/1.0.0").status, 404);

    let newest = get("/f/mitte/p/de-he/boese");
    assert_eq!((newest.status, newest.header("location")), (303, "/f/mitte/p/de-he/boese/1.0.0"));
    let page = body(&get("/f/mitte/p/de-he/boese/1.0.0"));
    assert!(!page.contains(hostile) && page.contains("&lt;script&gt;"), "{page}");
    let file = get("/f/mitte/p/de-he/boese/1.0.0/files/hinweise.txt");
    assert_eq!((file.status, body(&file).as_str()), (200, "Hinweise zu boese\n"));
    assert!(file.header("content-disposition").starts_with("attachment"));

    let id = samples()[0].file_name().unwrap().to_str().unwrap().to_owned();
    let shown = get(&format!("/f/mitte/p/de-he/{id}"));
    let shown = body(&get(shown.header("location")));
    assert!(shown.contains("<svg ") && shown.contains("Schritte in Worten"), "the flow is drawn and told");
    assert!(body(&get("/f/mitte/members")).contains("Rheinland-Pfalz"));
    assert!(body(&get("/f/mitte/news")).contains("boese") && !body(&get("/f/mitte/news")).contains("geheim"));
    let english = https.plain("/f/mitte/members", &["--header", &cookie, "--header", "Accept-Language: en"]);
    assert!(body(&english).contains("<html lang=\"en\">") && body(&english).contains("Members"));
}

#[test]
fn logging_in_takes_a_token_and_logging_out_forgets_it() {
    let federation = Federation::found(1);
    let Some(https) = Https::new(&federation["de-he"], federation.world.path()) else { return };
    let form = |token: &str, back: &str| format!("token={token}&back={back}");
    let login = |data: &str| https.plain("/login", &["--data", data]);
    let reply = login(&form(&https.token, "/f/mitte"));
    assert_eq!((reply.status, reply.header("location")), (303, "/f/mitte"));
    let cookie = reply.header("set-cookie");
    for part in ["__Host-verbund=", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert_eq!(login(&form(&https.token, "https://example.org/")).header("location"), "/", "nobody is sent elsewhere");
    let wrong = login(&form("vbt_falsch", "/"));
    assert_eq!(wrong.status, 401);
    assert!(body(&wrong).contains("aria-invalid=\"true\""), "{}", body(&wrong));
    // A cookie that is good no more is taken away, so that logging in works again.
    let stale = https.plain("/login", &["--header", "Cookie: __Host-verbund=vbt_falsch"]);
    assert_eq!(stale.status, 401);
    assert!(stale.header("set-cookie").contains("Max-Age=0") && body(&stale).contains("name=\"token\""));
    let out = https.plain("/logout", &["--data", ""]);
    assert!(out.status == 303 && out.header("set-cookie").contains("Max-Age=0"));
    let huge = format!("token={}", "x".repeat(10_000));
    assert_eq!(login(&huge).status, 413);
    assert_eq!(https.plain("/f/mitte", &["--request", "DELETE"]).status, 405);
}

/// The browser, and the modules that look at its pages; `None`, and said, where one of them is missing.
fn browser() -> Option<(PathBuf, PathBuf)> {
    let found = |name: &str| {
        let output = Command::new("sh").args(["-c", &format!("command -v {name}")]).output().ok()?;
        output.status.success().then(|| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
    };
    let named = std::env::var_os("VERBUND_NODE_MODULES").map(PathBuf::from);
    let modules = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/pages/node_modules"));
    match (found("chromium"), found("node"), modules.join("axe-core").is_dir() && modules.join("playwright-core").is_dir()) {
        (Some(chromium), Some(_), true) => Some((modules, chromium)),
        (chromium, node, modules) => {
            eprintln!("SKIPPED: chromium {chromium:?}, node {node:?}, axe-core and playwright-core: {modules}");
            None
        }
    }
}

#[test]
fn pages_pass_axe_work_by_keyboard_and_fit_narrow_and_zoomed_windows() {
    let Some((modules, chromium)) = browser() else { return };
    let federation = federation();
    let node = &federation["de-rp"];
    let token = node.cli("--quiet token create seiten").ok().trim().to_owned();
    let address = node.status()["addresses"]["https"][0].as_str().unwrap().to_owned();
    let mut paths = vec!["/f/mitte".to_owned(), "/f/mitte?q=hund".to_owned(), "/f/mitte/members".to_owned(), "/f/mitte/news".to_owned()];
    for folder in samples().iter().take(3) {
        paths.push(format!("/f/mitte/p/de-he/{}", folder.file_name().unwrap().to_str().unwrap()));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("harness/pages.mjs");
    let output = Command::new("node")
        .arg(script)
        .arg(modules)
        .arg(chromium)
        .args([&format!("https://{address}"), &token])
        .args(&paths)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    print!("{said}");
}
