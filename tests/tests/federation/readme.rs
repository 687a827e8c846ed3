//! `tests/README.md` names tests; each of them must be there.

use std::path::Path;

#[test]
fn every_test_that_the_readme_names_is_there() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = std::fs::read_to_string(top.join("tests/README.md")).unwrap();
    let mut named = 0;
    // In backticks: a file below the top of the project, `::`, and the name of a function in it.
    for (line, quoted) in
        text.lines().enumerate().flat_map(|(n, l)| l.split('`').skip(1).step_by(2).map(move |q| (n + 1, q)))
    {
        let Some((file, test)) = quoted.split_once(".rs::") else { continue };
        named += 1;
        let path = top.join(format!("{file}.rs"));
        let source = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("line {line}: {quoted}: {error}"));
        // A test's attributes stand right above it.
        let before = source.split_once(&format!("fn {test}(")).map(|(before, _)| before);
        let attributes = before.and_then(|before| before.rsplit("\n\n").next()).unwrap_or_default();
        assert!(
            attributes.contains("#[test]") || attributes.contains("#[tokio::test"),
            "line {line}: there is no test {quoted}"
        );
    }
    assert!(named > 50, "the table names {named} tests only; is it still written as it is read here?");
}
