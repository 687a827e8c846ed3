//! A reader of JSON Schema 2020-12, as far as the OpenAPI document uses it: what it does not know is a failure, so that nothing
//! passes unread.

use serde_json::Value;

/// What does not fit, by its place; empty if all fits.
pub(super) fn misfits(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut out = Vec::new();
    check(document, schema, value, "$", &mut out);
    out
}

fn check(document: &Value, schema: &Value, value: &Value, at: &str, out: &mut Vec<String>) {
    let map = match schema {
        Value::Bool(true) => return,
        Value::Object(map) => map,
        other => return out.push(format!("{at}: no schema: {other}")),
    };
    for (keyword, rule) in map {
        match keyword.as_str() {
            "$ref" => {
                let path = rule.as_str().and_then(|text| text.strip_prefix('#')).unwrap_or("?");
                match document.pointer(path) {
                    Some(target) => check(document, target, value, at, out),
                    None => out.push(format!("{at}: {rule} leads nowhere")),
                }
            }
            "type" => {
                let names: Vec<&str> = match rule {
                    Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
                    one => one.as_str().into_iter().collect(),
                };
                if !names.iter().any(|name| is(name, value)) {
                    out.push(format!("{at}: {value} is not of type {rule}"));
                }
            }
            "properties" => {
                for (name, schema) in rule.as_object().into_iter().flatten() {
                    if let Some(inner) = value.get(name) {
                        check(document, schema, inner, &format!("{at}.{name}"), out);
                    }
                }
                // The answers of this server have no field that is not documented.
                if let (Some(fields), Some(known)) = (value.as_object(), rule.as_object())
                    && map.contains_key("type")
                {
                    let unknown = fields.keys().filter(|name| !known.contains_key(*name));
                    out.extend(unknown.map(|name| format!("{at}.{name} is not documented")));
                }
            }
            "required" => {
                let missing = rule.as_array().into_iter().flatten().filter_map(Value::as_str);
                let missing = missing.filter(|name| value.is_object() && value.get(name).is_none());
                out.extend(missing.map(|name| format!("{at}.{name} is missing")));
            }
            "items" => {
                for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(document, rule, item, &format!("{at}[{n}]"), out);
                }
            }
            "enum" => {
                if !rule.as_array().is_some_and(|all| all.contains(value)) {
                    out.push(format!("{at}: {value} is none of {rule}"));
                }
            }
            "const" => {
                if rule != value {
                    out.push(format!("{at}: {value} is not {rule}"));
                }
            }
            "allOf" => {
                rule.as_array().into_iter().flatten().for_each(|one| check(document, one, value, at, out));
            }
            "anyOf" | "oneOf" => {
                let fits = rule.as_array().into_iter().flatten().filter(|one| misfits(document, one, value).is_empty());
                let fits = fits.count();
                if fits == 0 || (keyword == "oneOf" && fits > 1) {
                    out.push(format!("{at}: {value} fits {fits} of {rule}"));
                }
            }
            "minimum" => {
                if value.as_f64().is_some_and(|n| rule.as_f64().is_some_and(|min| n < min)) {
                    out.push(format!("{at}: {value} is below {rule}"));
                }
            }
            "maximum" => {
                if value.as_f64().is_some_and(|n| rule.as_f64().is_some_and(|max| n > max)) {
                    out.push(format!("{at}: {value} is above {rule}"));
                }
            }
            "maxItems" => {
                if value.as_array().is_some_and(|all| all.len() as u64 > rule.as_u64().unwrap_or(0)) {
                    out.push(format!("{at}: more than {rule} items"));
                }
            }
            "title" | "description" | "format" | "default" => {}
            other => out.push(format!("{at}: the keyword {other:?} is not read by this test")),
        }
    }
}

fn is(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        _ => false,
    }
}

#[test]
fn what_does_not_fit_is_told() {
    let document = serde_json::json!({ "a": { "type": "object", "properties": { "x": { "type": "integer" } }, "required": ["x"] } });
    let schema = serde_json::json!({ "$ref": "#/a" });
    let misfits = |value: Value| misfits(&document, &schema, &value).len();
    assert_eq!(misfits(serde_json::json!({ "x": 1 })), 0);
    for bad in
        [serde_json::json!({}), serde_json::json!({ "x": "1" }), serde_json::json!({ "x": 1, "y": 2 }), Value::Null]
    {
        assert_eq!(misfits(bad.clone()), 1, "{bad}");
    }
}
