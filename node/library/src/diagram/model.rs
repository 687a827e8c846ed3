//! What a BPMN file says: its elements, its flows, and where they are drawn.

use std::collections::BTreeMap;

use roxmltree::{Document, Node};

use super::text::label;

/// Nodes of an XML document that are read: text and attributes are not counted. The largest test models have 30,000.
pub(super) const NODES_MAX: u32 = 200_000;
/// Shapes and edges of one picture.
const SHAPES_MAX: usize = 4_000;
/// Corners of one edge.
const POINTS_MAX: usize = 64;
/// Pictures of one model.
const PICTURES_MAX: usize = 8;
/// Largest coordinate, in either direction: a picture of 100 m at 96 dpi.
const FAR: f64 = 400_000.0;

/// SPEC: BPMN 2.0.2, §15 and §12.2: the namespaces.
const BPMN: &str = "http://www.omg.org/spec/BPMN/20100524/MODEL";
const BPMN_DI: &str = "http://www.omg.org/spec/BPMN/20100524/DI";

/// An element of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    /// Its local name: `userTask`, `exclusiveGateway`, ….
    pub(super) kind: String,
    /// Empty if it has none.
    pub(super) name: String,
    /// The kind of event: `timer`, `message`, …; empty if it is none, or a plain one.
    pub(super) event: String,
    /// The process or subprocess that holds it.
    pub(super) scope: String,
    /// Where its flow starts and ends, if it is one.
    pub(super) ends: Option<(String, String)>,
    /// Its place in the file.
    pub(super) order: usize,
}

/// A point of a picture.
pub(super) type Point = (f64, f64);

/// A rectangle of a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Bounds {
    pub(super) fn middle(&self) -> Point {
        (self.x + self.width / 2.0, self.y + self.height / 2.0)
    }
    pub(super) fn area(&self) -> f64 {
        self.width * self.height
    }
}

/// Something drawn as an area.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    pub(super) element: String,
    pub(super) bounds: Bounds,
    pub(super) label: Option<Bounds>,
    pub(super) horizontal: bool,
    /// Whether what it holds is drawn in it; `None` if it does not say.
    pub(super) expanded: Option<bool>,
}

/// Something drawn as a line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Edge {
    pub(super) element: String,
    pub(super) points: Vec<Point>,
    pub(super) label: Option<Bounds>,
}

/// One picture.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Plane {
    pub(super) name: Option<String>,
    pub(super) shapes: Vec<Shape>,
    pub(super) edges: Vec<Edge>,
}

/// A model.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// By id.
    pub(super) elements: BTreeMap<String, Element>,
    /// The lane of each flow node, by name.
    pub(super) lanes: BTreeMap<String, String>,
    pub(super) planes: Vec<Plane>,
}

fn is(node: Node<'_, '_>, namespace: &str, name: &str) -> bool {
    node.tag_name().name() == name && node.tag_name().namespace() == Some(namespace)
}

/// References are qualified names; ids are looked up by their local part.
fn local(reference: &str) -> String {
    reference.rsplit(':').next().unwrap_or(reference).to_owned()
}

impl Model {
    /// `None`: no BPMN 2.0.
    pub(super) fn read(document: &Document<'_>) -> Option<Self> {
        let root = document.root_element();
        if !is(root, BPMN, "definitions") {
            return None;
        }
        let mut model = Self::default();
        for (order, node) in root.descendants().filter(|node| node.tag_name().namespace() == Some(BPMN)).enumerate() {
            model.element(node, order);
        }
        let diagrams = root.children().filter(|node| is(*node, BPMN_DI, "BPMNDiagram"));
        model.planes = diagrams.take(PICTURES_MAX).filter_map(plane).collect();
        Some(model)
    }

    fn element(&mut self, node: Node<'_, '_>, order: usize) {
        let Some(id) = node.attribute("id") else { return };
        let kind = node.tag_name().name().to_owned();
        let text = || node.children().find(|child| is(*child, BPMN, "text")).and_then(|child| child.text());
        let name = node.attribute("name").or_else(text).map(label).unwrap_or_default();
        if kind == "lane" && !name.is_empty() {
            for member in node.children().filter(|child| is(*child, BPMN, "flowNodeRef")) {
                self.lanes.insert(local(member.text().unwrap_or_default().trim()), name.clone());
            }
        }
        let event = node.children().find_map(|child| child.tag_name().name().strip_suffix("EventDefinition"));
        let ends = node.attribute("sourceRef").zip(node.attribute("targetRef"));
        let scope = node.ancestors().skip(1).find_map(|above| {
            let holds = matches!(above.tag_name().name(), "process" | "subProcess" | "transaction" | "adHocSubProcess");
            above.attribute("id").filter(|_| holds)
        });
        let element = Element {
            name,
            event: event.filter(|_| kind.ends_with("Event")).unwrap_or_default().to_owned(),
            scope: scope.unwrap_or_default().to_owned(),
            ends: ends.map(|(from, to)| (local(from), local(to))),
            kind,
            order,
        };
        self.elements.entry(id.to_owned()).or_insert(element);
    }
}

fn number(node: Node<'_, '_>, name: &str) -> Option<f64> {
    let value: f64 = node.attribute(name)?.trim().parse().ok()?;
    value.is_finite().then(|| value.clamp(-FAR, FAR))
}

fn bounds(node: Node<'_, '_>) -> Option<Bounds> {
    let at = node.children().find(|child| child.tag_name().name() == "Bounds")?;
    let bounds = Bounds {
        x: number(at, "x")?,
        y: number(at, "y")?,
        width: number(at, "width")?.max(0.0),
        height: number(at, "height")?.max(0.0),
    };
    Some(bounds)
}

fn own_label(node: Node<'_, '_>) -> Option<Bounds> {
    node.children().find(|child| is(*child, BPMN_DI, "BPMNLabel")).and_then(bounds)
}

fn plane(diagram: Node<'_, '_>) -> Option<Plane> {
    let node = diagram.children().find(|child| is(*child, BPMN_DI, "BPMNPlane"))?;
    let mut plane =
        Plane { name: diagram.attribute("name").map(label).filter(|name| !name.is_empty()), ..Plane::default() };
    for child in node.children() {
        let Some(element) = child.attribute("bpmnElement").map(local) else { continue };
        if is(child, BPMN_DI, "BPMNShape") && plane.shapes.len() < SHAPES_MAX {
            let Some(bounds) = bounds(child) else { continue };
            plane.shapes.push(Shape {
                element,
                bounds,
                label: own_label(child),
                horizontal: child.attribute("isHorizontal") != Some("false"),
                expanded: child.attribute("isExpanded").map(|value| value == "true"),
            });
        } else if is(child, BPMN_DI, "BPMNEdge") && plane.edges.len() < SHAPES_MAX {
            let corners = child.children().filter(|point| point.tag_name().name() == "waypoint").take(POINTS_MAX);
            let points: Vec<Point> = corners.filter_map(|p| Some((number(p, "x")?, number(p, "y")?))).collect();
            if points.len() > 1 {
                plane.edges.push(Edge { element, points, label: own_label(child) });
            }
        }
    }
    (!plane.shapes.is_empty()).then_some(plane)
}
