//! The worker that measures the cores' peak keeps the workers' protocol.

use std::io::Write;
use std::process::{Command, Output, Stdio};

fn worker(precision: &str, commands: &str) -> Output {
    let mut worker = Command::new(env!("CARGO_BIN_EXE_far-peak-worker"))
        .args([precision, "Cargo.toml", "2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the worker starts");
    let mut stdin = worker.stdin.take().expect("its standard input");
    // One that refused the model no longer reads.
    let _ = stdin.write_all(commands.as_bytes());
    drop(stdin);
    worker.wait_with_output().expect("the worker ends")
}

#[test]
fn it_says_how_much_it_does_and_how_long_that_takes() {
    let output = worker("f32", "run 3\n");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<serde_json::Value> = serde_json::Deserializer::from_slice(&output.stdout)
        .into_iter()
        .map(|line| line.expect("a line of JSON"))
        .collect();
    let [facts, times] = lines.as_slice() else { panic!("two lines: {lines:?}") };
    // Of both threads.
    assert!(facts["multiply_adds"].as_u64().is_some_and(|n| n > 0 && n.is_multiple_of(2)), "{facts}");
    let times = times["ms"].as_array().expect("times");
    assert!(times.len() == 3 && times.iter().all(|ms| ms.as_f64().is_some_and(|ms| ms > 0.0)), "{times:?}");
}

#[test]
fn it_refuses_what_has_no_peak() {
    for (precision, why) in [("f99", "no precision is called `f99`"), ("f16-arith", "no instruction for it")]
    {
        let output = worker(precision, "");
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(why), "{said}");
    }
}
