use super::*;

fn layers(text: &str, environment: &[(&str, &str)]) -> (tempfile::TempDir, Layers) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE_NAME);
    std::fs::write(&file, text).unwrap();
    let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    (dir, Layers { file: Some(file), required: true, environment, flags: Vec::new() })
}
fn loaded(text: &str, environment: &[(&str, &str)]) -> Effective {
    load(&layers(text, environment).1).unwrap()
}
fn mistakes(text: &str, environment: &[(&str, &str)]) -> Vec<Mistake> {
    let (_dir, layers) = layers(text, environment);
    match load(&layers) {
        Err(ConfigError::Mistakes(mistakes)) => mistakes,
        other => panic!("{other:?}"),
    }
}

const TEMPLATE: &str = include_str!("../../../config/node.toml");

/// The template with its optional keys switched on.
fn template_in_full() -> String {
    let on = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => rest.to_owned(),
        _ => line.to_owned(),
    };
    TEMPLATE.lines().map(on).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_documented_file_equals_the_defaults() {
    assert_eq!(loaded(TEMPLATE, &[]).config, Config::default());
}

#[test]
fn the_documented_file_names_every_key() {
    let text = template_in_full();
    let reading = check::read("t", &text);
    assert_eq!(reading.mistakes, []);
    let named: Vec<String> = reading
        .keys
        .into_iter()
        .map(|(key, _)| key.replace("federation.mitte.", "federation.*.").replace("webhook.erp.", "webhook.*."))
        .collect();
    for (key, _) in check::leaves(&check::schema()) {
        assert!(named.contains(&key), "config/node.toml does not name {key}");
    }
}

#[test]
fn later_layers_win_and_are_named_as_origin() {
    let text = "name = \"Hessen\"\nlisten = [\"127.0.0.1:1\"]\n[log]\nlevel = \"warn\"\n[gossip]\nenabled = false";
    let environment = [
        ("VERBUND_LOG__LEVEL", "debug"),
        ("VERBUND_LISTEN", "127.0.0.1:2, [::1]:3"),
        ("VERBUND_DATA_DIR", "/x"),
        ("HOME", "/"),
    ];
    let (_dir, mut layers) = layers(text, &environment);
    layers.flags.push(("log.level".into(), vec!["error".into()], "--log-level".into()));
    let effective = load(&layers).unwrap();
    assert_eq!(effective.config.log.level.as_str(), "error");
    assert_eq!(effective.config.listen, [Endpoint::new("127.0.0.1", 2), Endpoint::new("::1", 3)]);
    assert!(!effective.config.gossip.enabled);
    let origin = |key: &str| effective.values.iter().find(|v| v.key == key).unwrap().origin.clone();
    assert_eq!(origin("log.level"), "flag --log-level");
    assert_eq!(origin("listen"), "environment VERBUND_LISTEN");
    assert_eq!(origin("gossip.enabled"), "file");
    assert_eq!(origin("store.cache"), "default");
    assert_eq!(effective.warnings, Vec::<String>::new());
}

#[test]
fn environment_values_of_every_kind() {
    let environment = [
        ("VERBUND_HTTPS__ANONYMOUS", "true"),
        ("VERBUND_LIMITS__CONNECTIONS", "9"),
        ("VERBUND_LIMITS__ARTIFACT_MAX", "10MiB"),
        ("VERBUND_NAME", "1234"),
        ("VERBUND_ADMIN__READ", "1000"),
        ("VERBUND_HTTPS__LISTEN", ""),
        ("VERBUND_FEDERATION__MITTE__LISTEN", "[::1]:7"),
    ];
    let config = loaded("", &environment).config;
    assert!(config.https.anonymous && config.https.listen.is_empty());
    assert_eq!((config.limits.connections, config.limits.artifact_max), (9, Size(10 << 20)));
    assert_eq!((config.name.as_deref(), config.admin.read), (Some("1234"), vec!["1000".to_owned()]));
    assert_eq!(config.federation[&"mitte".parse().unwrap()].listen, Some(vec![Endpoint::new("::1", 7)]));
}

#[test]
fn mistakes_in_the_file_have_line_column_and_suggestion() {
    let found = mistakes("name = \"x\"\n\n[https]\n  lisen = []\n[limts]\nx = 1", &[]);
    assert_eq!(found.len(), 2, "{found:?}");
    let said: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|s| s.contains(":4:3: https.lisen: unknown key; did you mean \"listen\"?")), "{said:?}");
    assert!(said.iter().any(|s| s.contains(":5:2: limts: unknown key; did you mean \"limits\"?")), "{said:?}");

    let found = mistakes("[limits]\nartifact_max = \"8 Gigs\"", &[]);
    assert_eq!((found[0].place, found[0].key.as_str()), (Some((2, 16)), "limits.artifact_max"));
    assert!(found[0].text.contains("64MiB"), "{}", found[0]);

    assert_eq!(mistakes("name = \"x\nlisten = 1", &[])[0].place.unwrap().0, 1);
    assert_eq!(mistakes("[gossip]\nenabled = \"maybe\"", &[])[0].place, Some((2, 11)));
    assert_eq!(mistakes("federation = 3", &[]).len(), 1);
}

#[test]
fn contradictions_have_a_place_too() {
    let found = mistakes("announce = [\"h:0\"]\n[https]\ncertificate = \"c.pem\"", &[]);
    let keys: Vec<_> = found.iter().map(|m| (m.key.as_str(), m.place.unwrap().0)).collect();
    assert_eq!(keys, [("https.certificate", 3), ("announce", 1)]);
    let found = mistakes("", &[("VERBUND_STORE__CACHE", "1B")]);
    assert_eq!(found[0].source, "environment VERBUND_STORE__CACHE");
}

#[test]
fn mistakes_in_the_environment_name_the_variable() {
    let found = mistakes("", &[("VERBUND_LOG__LEVL", "info"), ("VERBUND_START__WAIT", "soon")]);
    assert_eq!(found[0].source, "environment VERBUND_LOG__LEVL");
    assert!(found[0].text.contains("VERBUND_LOG__LEVEL"), "{}", found[0]);
    assert_eq!(found[1].source, "environment VERBUND_START__WAIT");
    // As container platforms set them for a service of this name.
    let effective = loaded("", &[("VERBUND_PORT", "tcp://10.0.0.1:7400"), ("VERBUND_SERVICE_HOST", "10.0.0.1")]);
    assert_eq!(effective.warnings.len(), 2);
}

#[test]
fn a_missing_file_matters_only_when_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut layers = Layers { file: Some(dir.path().join("none.toml")), ..Layers::default() };
    assert_eq!(load(&layers).unwrap().config, Config::default());
    layers.required = true;
    assert!(matches!(load(&layers), Err(ConfigError::Unreadable { .. })));
}

#[test]
fn overrides_of_a_federation() {
    let config = loaded("listen = [\"[::]:1\"]\n[federation.mitte]\nlisten = [\"[::]:2\"]", &[]).config;
    assert_eq!(config.listen_of("mitte")[0].port(), 2);
    assert_eq!(config.listen_of("sued")[0].port(), 1);
    assert_eq!(config.listen_of("no slug!")[0].port(), 1);
    assert!(config.announce_of("mitte").is_empty());
}

#[test]
fn paths_start_at_the_data_directory() {
    let data = Path::new("/var/lib/verbund");
    let config =
        loaded("[admin]\nsocket = \"/run/v.sock\"\n[https]\ncertificate = \"c.pem\"\nkey = \"/k.pem\"", &[]).config;
    assert_eq!(config.socket(data), Path::new("/run/v.sock"));
    assert_eq!(Config::default().socket(data), Path::new("/var/lib/verbund/admin.sock"));
    assert_eq!(config.certificate(data), Some(("/var/lib/verbund/c.pem".into(), "/k.pem".into())));
}

#[test]
fn suggestions_know_how_people_type() {
    let known = ["admin", "announce", "listen"].map(str::to_owned);
    for (typed, meant) in
        [("admni", Some("admin")), ("lsten", Some("listen")), ("anounce", Some("announce")), ("port", None)]
    {
        assert_eq!(check::suggest(typed, &known), meant, "{typed}");
    }
}
