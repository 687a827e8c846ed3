"""Checks a DCAT-AP.de catalogue (JSON-LD) against SHACL shapes. Arguments: the catalogue, then files of shapes (Turtle)."""

import sys

import pyshacl
import rdflib

data = rdflib.Graph().parse(sys.argv[1], format="json-ld")
shapes = rdflib.Graph()
for path in sys.argv[2:]:
    shapes.parse(path, format="turtle")

SH = rdflib.Namespace("http://www.w3.org/ns/shacl#")
DCAT = rdflib.Namespace("http://www.w3.org/ns/dcat#")
datasets = list(data.subjects(rdflib.RDF.type, DCAT.Dataset))
conforms, report, text = pyshacl.validate(data, shacl_graph=shapes, inplace=False, advanced=True)
violations = [r for r in report.subjects(SH.resultSeverity, SH.Violation)]
for result in violations:
    print(*(f"{p.split('#')[-1]}={o}" for p, o in report.predicate_objects(result)), sep="; ", file=sys.stderr)
print(f"datasets={len(datasets)} triples={len(data)} shapes={len(shapes)} violations={len(violations)}")
sys.exit(1 if violations or not datasets or not len(shapes) else 0)
