use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::process::Command;

use serde_json::Value;

/// Each member, and the members that it may depend on. A new arrow is a decision: record it.
const PLAN: &[(&str, &[&str])] = &[
    ("sconce-registry", &[]),
    ("sconce-golden", &[]),
    ("sconce-test-hub", &[]),
    ("sconce-volume", &[]),
    ("sconce-nn", &[]),
    ("sconce-data", &["sconce-registry", "sconce-volume"]),
    ("sconce-preprocess", &["sconce-registry", "sconce-volume"]),
    ("sconce-cache", &["sconce-preprocess"]),
    ("sconce-metrics", &["sconce-registry", "sconce-volume"]),
    ("sconce-losses", &["sconce-nn", "sconce-registry"]),
    ("sconce-onnx", &[]),
    ("sconce-models", &["sconce-nn", "sconce-onnx", "sconce-registry"]),
    ("sconce-ranks", &["sconce-nn"]),
    ("sconce-text", &["sconce-nn"]),
    (
        "sconce-engine",
        &[
            "sconce-cache",
            "sconce-data",
            "sconce-losses",
            "sconce-metrics",
            "sconce-models",
            "sconce-nn",
            "sconce-preprocess",
            "sconce-ranks",
            "sconce-registry",
            "sconce-text",
            "sconce-volume",
        ],
    ),
    ("sconce-pytorch", &[]),
    (
        "sconce-zoo",
        &[
            "sconce-data",
            "sconce-engine",
            "sconce-losses",
            "sconce-models",
            "sconce-onnx",
            "sconce-preprocess",
            "sconce-pytorch",
        ],
    ),
    (
        "sconce",
        &[
            "sconce-cache",
            "sconce-data",
            "sconce-engine",
            "sconce-losses",
            "sconce-metrics",
            "sconce-models",
            "sconce-nn",
            "sconce-onnx",
            "sconce-preprocess",
            "sconce-pytorch",
            "sconce-ranks",
            "sconce-text",
            "sconce-volume",
            "sconce-zoo",
        ],
    ),
    ("sconce-bin", &["sconce"]),
    ("sconce-benchmarks", &["sconce"]),
];

#[test]
fn members_depend_on_each_other_as_the_floor_plan_says() {
    let output = Command::new(env::var_os("CARGO").expect("cargo runs this test"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .output()
        .expect("cargo can be started");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("a workspace has packages");
    let members: BTreeSet<&str> = packages.iter().map(name).collect();

    let below = |package: &Value| -> BTreeSet<String> {
        let dependencies = package["dependencies"].as_array().expect("a list");
        let normal = dependencies.iter().filter(|dependency| dependency["kind"].is_null());
        normal.map(name).filter(|it| members.contains(it)).map(str::to_owned).collect()
    };
    let actual: BTreeMap<&str, BTreeSet<String>> =
        packages.iter().map(|package| (name(package), below(package))).collect();
    let planned: BTreeMap<&str, BTreeSet<String>> = PLAN
        .iter()
        .map(|&(member, below)| (member, below.iter().map(|&it| it.to_owned()).collect()))
        .collect();

    assert_eq!(actual, planned);
}

fn name(value: &Value) -> &str {
    value["name"].as_str().expect("packages have names")
}
