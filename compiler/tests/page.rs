//! The report as a page: well formed, self-contained, the same bytes for the same input, and only text from a model.

use std::path::PathBuf;

use farc::masks::Masks;
use farc::target::{self, Target};
use farc::{Compiled, Options, compile, report};

fn example(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/models/far-fashion").join(name)
}

fn compiled(name: &str, masks: bool, target: &Target) -> Compiled {
    let model = std::fs::read(example(&format!("{name}.onnx"))).unwrap();
    let masks = masks.then(|| Masks::read(&example(&format!("{name}.masks.safetensors"))).unwrap());
    compile(&model, masks.as_ref(), target, &Options::default()).unwrap()
}

fn page(compiled: &Compiled, target: &Target) -> String {
    let plan = far_format::read(&compiled.artifact).unwrap().plan;
    report::page(&compiled.report, &plan, &target.cpu.core)
}

/// Elements are closed in the order in which they were opened, and attributes are quoted.
fn assert_well_formed(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page.strip_prefix("<!DOCTYPE html>").expect("a document type");
    while let Some(start) = rest.find('<') {
        let end = rest[start..].find('>').expect("a tag ends") + start;
        let tag = &rest[start + 1..end];
        assert!(
            !rest[..start].contains('>') || open.last() == Some(&"style"),
            "`>` in text: {}",
            &rest[..start]
        );
        rest = &rest[end + 1..];
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "closed in order"),
            None if tag.ends_with('/') => assert!(tag.matches('"').count().is_multiple_of(2), "{tag}"),
            None => {
                let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
                assert!(attributes.matches('"').count().is_multiple_of(2), "{tag}");
                open.push(name);
            }
        }
    }
    assert!(open.is_empty(), "not closed: {open:?}");
    for entity in page.split('&').skip(1) {
        let name = entity.split(';').next().unwrap_or_default();
        assert!(["amp", "lt", "gt", "quot", "#39"].contains(&name), "entity {name:.20}");
    }
}

#[test]
fn pages_are_whole_and_need_nothing_else() {
    for (name, masks, board) in [
        ("far-pruned-dense", true, "raspberry-pi-5"),
        ("far-parallel", false, "visionfive-2"),
        ("deit", false, "x86_64"),
    ] {
        let target = target::find(board).unwrap();
        let compiled = compiled(name, masks, &target);
        let page = self::page(&compiled, &target);
        assert_well_formed(&page);
        for foreign in ["http", "//", "src=", "href=", "@import", "<script", "<link", "<img", "<iframe"] {
            assert!(!page.contains(foreign), "{name}: {foreign}");
        }
        assert!(page.matches("url(").count() == page.matches("url(#head)").count(), "only the arrow's head");
        for part in ["The network", "Where the time goes", "Memory over time", "What the passes chose", board]
        {
            assert!(page.contains(part), "{name}: no {part}");
        }
        assert_eq!(page.contains("Hidden units kept"), name != "deit", "{name}");
        assert_eq!(page, self::page(&compiled, &target), "same input, same bytes");
        // Every step has its box.
        assert_eq!(page.matches("class=\"arrow\"").count(), compiled.report.steps.len() + 1, "{name}");
    }
}

#[test]
fn names_are_only_text() {
    let target = target::find("raspberry-pi-5").unwrap();
    let mut compiled = compiled("far-pruned-dense", true, &target);
    let evil = "</title><script>alert(1)</script>\"' onload=x & \u{7}";
    let report = &mut compiled.report;
    report.model = evil.into();
    report.target.name = evil.into();
    report.kept.iter_mut().for_each(|kept| kept.node = evil.into());
    report.steps.iter_mut().for_each(|step| step.name = evil.into());
    report.passes.passes.iter_mut().for_each(|entry| entry.notes = vec![evil.into()]);
    let page = page(&compiled, &target);
    assert_well_formed(&page);
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
}
