//! Pictures of models: real ones, and what must never come out of hostile ones.

use super::*;

const SMALL: &str = r##"<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:di="http://www.omg.org/spec/BPMN/20100524/DI"
  xmlns:dc="http://www.omg.org/spec/DD/20100524/DC" xmlns:dd="http://www.omg.org/spec/DD/20100524/DI" id="d">
  <process id="p">
    <laneSet id="ls"><lane id="l" name="Bürgerbüro"><flowNodeRef>t</flowNodeRef></lane></laneSet>
    <startEvent id="s" name="Antrag &lt;da&gt;"><messageEventDefinition/></startEvent>
    <userTask id="t" name="Antrag prüfen"/>
    <exclusiveGateway id="g" name="vollständig?"/>
    <subProcess id="sp" name="Bescheid"><startEvent id="s2"/><task id="t2" name="Bescheid schreiben"/>
      <sequenceFlow id="f9" sourceRef="s2" targetRef="t2"/></subProcess>
    <endEvent id="e" name="fertig"/>
    <sequenceFlow id="f1" sourceRef="s" targetRef="t"/><sequenceFlow id="f2" sourceRef="t" targetRef="g"/>
    <sequenceFlow id="f3" name="nein" sourceRef="g" targetRef="t"/><sequenceFlow id="f4" name="ja" sourceRef="g" targetRef="sp"/>
    <sequenceFlow id="f5" sourceRef="sp" targetRef="e"/>
  </process>
  <di:BPMNDiagram id="bd" name="Ablauf &quot;A&quot;"><di:BPMNPlane id="bp" bpmnElement="p">
    <di:BPMNShape id="1" bpmnElement="s"><dc:Bounds x="10" y="10" width="36" height="36"/></di:BPMNShape>
    <di:BPMNShape id="2" bpmnElement="t"><dc:Bounds x="100" y="0" width="100" height="80"/></di:BPMNShape>
    <di:BPMNEdge id="3" bpmnElement="f1"><dd:waypoint x="46" y="28"/><dd:waypoint x="100" y="28"/></di:BPMNEdge>
  </di:BPMNPlane></di:BPMNDiagram>
</definitions>"##;

#[test]
fn a_model_is_drawn_and_told() {
    let shown = show(SMALL.as_bytes()).unwrap();
    assert_eq!(shown.pictures.len(), 1);
    let svg = &shown.pictures[0].svg;
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"));
    assert!(svg.contains("Antrag &lt;da&gt;") && svg.contains("aria-label=\"Ablauf &quot;A&quot;\""), "{svg}");
    roxmltree::Document::parse(svg).unwrap();

    let told: Vec<String> = shown
        .steps
        .iter()
        .map(|s| {
            format!(
                "{} {} {} {:?} @{} {:?}",
                s.number,
                s.kind,
                s.event,
                s.name,
                s.lane,
                s.next.iter().map(|w| (w.condition.as_str(), w.to)).collect::<Vec<_>>()
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "1 startEvent message \"Antrag <da>\" @ [(\"\", 2)]",
            "2 userTask  \"Antrag prüfen\" @Bürgerbüro [(\"\", 3)]",
            "3 exclusiveGateway  \"vollständig?\" @ [(\"nein\", 2), (\"ja\", 4)]",
            "4 subProcess  \"Bescheid\" @ [(\"\", 7)]",
            "5 startEvent  \"\" @ [(\"\", 6)]",
            "6 task  \"Bescheid schreiben\" @ []",
            "7 endEvent  \"fertig\" @ []",
        ]
    );
    assert_eq!(shown.steps[4].depth, 1);
}

#[test]
fn what_is_no_model_is_refused_in_words() {
    assert_eq!(show(b"<html/>"), Err(DiagramError::NotBpmn));
    assert!(matches!(show(b"\xff\xff"), Err(DiagramError::Malformed(_))));
    assert!(matches!(show(b"<definitions"), Err(DiagramError::Malformed(_))));
    let bomb = b"<!DOCTYPE d [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><definitions>&b;</definitions>";
    assert!(matches!(show(bomb), Err(DiagramError::Malformed(_))), "no entities but the five");
    assert_eq!(show(&vec![b' '; MODEL_MAX_BYTES + 1]), Err(DiagramError::TooLong));
    let many = format!(
        "<definitions xmlns=\"http://www.omg.org/spec/BPMN/20100524/MODEL\">{}</definitions>",
        "<a/>".repeat(250_000)
    );
    assert!(matches!(show(many.as_bytes()), Err(DiagramError::Malformed(_))));
}

#[test]
fn numbers_and_names_of_a_hostile_model_stay_harmless() {
    for number in ["NaN", "inf", "-inf", "1e308", "-1e308", "", "x", "1e-320"] {
        let model = SMALL
            .replace("width=\"100\"", &format!("width=\"{number}\""))
            .replace("x=\"46\"", &format!("x=\"{number}\""));
        let shown = show(model.as_bytes()).unwrap();
        for picture in &shown.pictures {
            assert!(!picture.svg.contains("NaN") && !picture.svg.contains("inf"), "{number}: {}", picture.svg);
            roxmltree::Document::parse(&picture.svg).unwrap();
        }
    }
    let name = "\"onload=alert(1) x=\"&gt;&lt;script&gt;";
    let model = SMALL.replace("Antrag prüfen", &name.replace('"', "&quot;"));
    let svg = &show(model.as_bytes()).unwrap().pictures[0].svg;
    let parsed = roxmltree::Document::parse(svg).unwrap();
    assert!(parsed.descendants().all(|node| node.tag_name().name() != "script"));
    assert!(
        parsed.descendants().all(|node| node.attributes().all(|a| !a.name().starts_with("on") && a.name() != "style"))
    );
    // A subprocess that claims to lie in itself.
    let model = SMALL.replace("id=\"t2\"", "id=\"sp\"");
    assert!(show(model.as_bytes()).unwrap().steps.len() <= 1_000);
}

#[test]
fn every_real_model_is_drawn() {
    let root = std::env::var_os("CORPUS").map_or_else(
        || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"),
        std::path::PathBuf::from,
    );
    let root = root.join("bpmn-miwg");
    let Ok(vendors) = std::fs::read_dir(&root) else { return eprintln!("SKIPPED: {} is missing", root.display()) };
    let (mut models, mut drawn, mut told, mut refused) = (0, 0, 0, Vec::new());
    for file in vendors.flatten().filter_map(|vendor| std::fs::read_dir(vendor.path()).ok()).flatten().flatten() {
        let bytes = std::fs::read(file.path()).unwrap();
        models += 1;
        match show(&bytes) {
            Ok(shown) => {
                told += usize::from(!shown.steps.is_empty());
                drawn += usize::from(!shown.pictures.is_empty());
                for picture in &shown.pictures {
                    roxmltree::Document::parse(&picture.svg)
                        .unwrap_or_else(|e| panic!("{}: {e}", file.path().display()));
                }
            }
            Err(why) => refused.push(format!("{}: {why}", file.path().display())),
        }
    }
    println!("{models} models, {drawn} drawn, {told} told, refused: {refused:#?}");
    assert!(
        models > 100 && drawn * 100 >= models * 95 && told * 100 >= models * 95,
        "{drawn} and {told} of {models}: {refused:#?}"
    );
}
