//! `cargo xtask bench`: what a board will have to do for an image, without the board. Instructions are counted under QEMU,
//! and the loops in which they are spent are put to llvm-mca. Nothing is timed.
//! May import: `command`, `console`, `cross`, `error`, `platform`, `workspace`.

mod board;
mod code;
mod count;
mod goals;
mod mca;
mod report;

use std::process::Command;

use crate::command;
use crate::console::{result, step};
use crate::cross::{CRT_STATIC, Cross};
use crate::error::{Error, Result};
use crate::workspace::{Workspace, create_dir};

use board::{Board, Place};
use count::Counter;
use report::{Image, Loop};

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A board or architecture, as for `farc compile --target`
    #[arg(long, default_value = "raspberry-pi-5")]
    target: String,
    /// Only models whose names contain one of these texts
    #[arg(long, value_delimiter = ',', default_value = "tiny")]
    models: Vec<String>,
    /// Also the loops in which no model spends time: those of other precisions
    #[arg(long)]
    all_loops: bool,
    /// What models compute in, as for `farc compile --dtype`
    #[arg(long, default_value = "f32")]
    dtype: String,
    /// Everything that was counted and predicted, as JSON
    #[arg(long)]
    json: bool,
}

/// Loops in which less than this part of the instructions is spent are not shown, unless all are asked for.
const LEAST_SHARE: f64 = 0.01;

/// Builds, counts, predicts, prints.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let cross = Cross::set_up(workspace, None)?;
    step("bench", "building the compiler and the models' generator");
    command::run(workspace.cargo("build").args(["--release", "-p", "farc", "-p", "far-bench", "--bins"]))?;
    let board = Board::read(&workspace.target.join("release/farc"), &args.target)?;
    let folder = workspace.target.join("bench").join(&args.target);
    create_dir(&folder)?;
    step("bench", format_args!("compiling models for {} in {}", args.target, args.dtype));
    let mut models = Command::new(workspace.target.join("release/far-bench-models"));
    models.args(["--target", &args.target, "--dtype", &args.dtype, "-o"]).arg(&folder).args(&args.models);
    let names = command::stdout(&mut models)?;

    step("bench", format_args!("building far for {}", board.platform.rust));
    // With fixed addresses, so that those of the counts are those of the disassembly.
    let mut build = cross.cargo(workspace, board.platform, "rustc", "");
    build.args(["--profile", "board", "--package=far-tool", "--bin=far", "--", "-Crelocation-model=static"]);
    command::run(build.args(CRT_STATIC.split(' ')))?;
    let program = cross.build_dir(board.platform, "board").join("far");
    let code = code::read(&cross.llvm("objdump"), &program)?;
    let counter = Counter::build(workspace, &program)?;

    let mut images = Vec::new();
    for place in &board.places {
        for name in names.lines() {
            step("bench", format_args!("{name}: counting on {}", place.name));
            let model = folder.join(format!("{name}.{}.far", args.dtype));
            let counts = counter.one_image(board.platform, place, &model)?;
            let loops = loops(&cross, place, &code, &counts, args.all_loops)?;
            let goal = goals::of(&place.name, &args.dtype, name);
            images.push(Image { model: name.to_owned(), place: place.name.clone(), counts, goal, loops });
        }
    }
    if images.is_empty() {
        return Err(Error::Unexpected(format!("no model's name contains `{}`", args.models.join("`, `"))));
    }
    result(if args.json {
        report::json(&args.target, &args.dtype, &images)?
    } else {
        report::tables(&images)
    });
    Ok(())
}

/// The loops of products in which the image's instructions go, or all of them, with what llvm-mca says of them.
fn loops(
    cross: &Cross,
    place: &Place,
    code: &code::Code,
    counts: &count::Counts,
    all: bool,
) -> Result<Vec<Loop>> {
    let mut loops = Vec::new();
    for found in code.loops() {
        let executed: u64 = found.insns.iter().map(|insn| counts.at(insn.address)).sum();
        let share = executed as f64 / counts.total as f64;
        let idle = share < LEAST_SHARE && !(all && place.has(&found.function));
        if idle || !found.is_product() {
            continue;
        }
        let cores = place.cores.iter().map(|core| mca::predict(&cross.llvm("mca"), core, &found));
        loops.push(Loop {
            function: found.function.clone(),
            share,
            insns: found.insns.len(),
            multiply_adds: found.multiply_adds(),
            vector_loads: found.loads(),
            others: found.others(),
            cores: cores.collect::<Result<_>>()?,
        });
    }
    loops.sort_by(|a, b| b.share.total_cmp(&a.share));
    Ok(loops)
}
