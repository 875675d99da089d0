//! The bill of materials in CycloneDX's JSON, version 1.5. No time and no random number: the same sources, the same bytes.
//! May import: `packages`, `text`.

use serde_json::{Value, json};

use super::packages::{Package, SHIPPED, SYSTEM};
use super::text::VERSION;

/// All that is linked.
pub(crate) fn cyclonedx(packages: &[Package]) -> String {
    let sdk = "far-sdk";
    let mut components: Vec<Value> = packages.iter().map(component).collect();
    components.extend(SYSTEM.iter().map(|system| {
        json!({
            "type": "library",
            "bom-ref": system.name,
            "name": system.name,
            "licenses": [{ "expression": system.license }],
            "properties": [{ "name": "far:linked-into", "value": system.linked }],
        })
    }));
    let shipped = packages.iter().filter(|package| SHIPPED.contains(&package.name.as_str()));
    let mut dependencies = vec![json!({ "ref": sdk, "dependsOn": shipped.map(purl).collect::<Vec<_>>() })];
    dependencies.extend(packages.iter().map(|package| {
        let to = packages
            .iter()
            .filter(|other| package.dependencies.contains(&(other.name.clone(), other.version.clone())));
        json!({ "ref": purl(package), "dependsOn": to.map(purl).collect::<Vec<_>>() })
    }));
    let bom = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": { "type": "framework", "bom-ref": sdk, "name": sdk, "version": VERSION } },
        "components": components,
        "dependencies": dependencies,
    });
    format!("{bom:#}\n")
}

fn component(package: &Package) -> Value {
    let into: Vec<_> = package.shipped_in.iter().copied().collect();
    let mut component = json!({
        "type": "library",
        "bom-ref": purl(package),
        "name": package.name,
        "version": package.version,
        "licenses": [{ "expression": package.license }],
        "purl": purl(package),
        "properties": [{ "name": "far:linked-into", "value": into.join(", ") }],
    });
    if let Some(checksum) = &package.checksum {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    component
}

fn purl(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn package(name: &str, dependencies: &[&str]) -> Package {
        Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            license: "MIT".to_owned(),
            folder: Default::default(),
            checksum: (name == "a").then(|| "00".repeat(32)),
            dependencies: dependencies.iter().map(|d| ((*d).to_owned(), "1.0.0".to_owned())).collect(),
            shipped_in: BTreeSet::from(["libfar"]),
        }
    }

    /// What the schema of CycloneDX 1.5 requires of the parts that are used here.
    #[test]
    fn keeps_the_rules_of_the_schema() {
        let text = cyclonedx(&[package("a", &[]), package("libfar", &["a"])]);
        let bom: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&bom["bomFormat"], &bom["specVersion"]), (&json!("CycloneDX"), &json!("1.5")));
        assert!(bom["version"].as_u64().is_some_and(|version| version >= 1));
        let components = bom["components"].as_array().unwrap();
        assert_eq!(components.len(), 2 + SYSTEM.len());
        let mut refs = BTreeSet::from(["far-sdk"]);
        for component in components.iter().chain([&bom["metadata"]["component"]]) {
            assert!(component["name"].is_string());
            let kinds = ["application", "framework", "library"];
            assert!(kinds.contains(&component["type"].as_str().unwrap()), "{component}");
            for hash in component["hashes"].as_array().into_iter().flatten() {
                assert_eq!(hash["alg"], "SHA-256");
                assert_eq!(hash["content"].as_str().unwrap().len(), 64);
            }
            refs.insert(component["bom-ref"].as_str().unwrap());
        }
        assert_eq!(refs.len(), 1 + components.len(), "references are unique");
        for dependency in bom["dependencies"].as_array().unwrap() {
            let to = dependency["dependsOn"].as_array().unwrap();
            for name in to.iter().chain([&dependency["ref"]]) {
                assert!(refs.contains(name.as_str().unwrap()), "{name} is no component");
            }
        }
        assert_eq!(bom["dependencies"][2]["dependsOn"], json!(["pkg:cargo/a@1.0.0"]));
    }
}
