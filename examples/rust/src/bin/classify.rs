//! `classify MODEL.far PICTURE ...`: what is in pictures (JPEG, PNG, PGM, PPM), by a model that was compiled with `--meta`.
#![allow(clippy::print_stdout, reason = "a program says its answers")]

use std::error::Error;
use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.split_first() {
        Some((model, pictures)) if !pictures.is_empty() => match classify(model, pictures) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                println!("error: {error}");
                ExitCode::from(1)
            }
        },
        _ => {
            println!("usage: classify MODEL.far PICTURE ...");
            ExitCode::from(2)
        }
    }
}

fn classify(model: &str, pictures: &[String]) -> Result<(), Box<dyn Error>> {
    let model = far_run::Model::open(model)?;
    let mut session = model.session(0)?;
    for path in pictures {
        let picture = far_run::decode(&fs::read(path)?).map_err(|why| format!("{path}: {why}"))?;
        let image = model.prepare(picture).ok_or("the model doesn't say how an image becomes an input")??;
        let logits = &session.run(&[&image])?[0];
        let class = far_run::argmax(logits).ok_or("the model answers nothing")?;
        println!("{path}: {} (logit {:.4})", model.label(class).unwrap_or("no label"), logits[class]);
    }
    Ok(())
}
