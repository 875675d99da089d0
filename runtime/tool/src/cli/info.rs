//! `far info`: what an artifact says about itself, for whatever machine it is. May import: `far_tool`, `far_format`.

use far_tool::{Result, info};

use super::Reply;
use super::args::{Args, model_error};

pub(crate) fn run(args: &Args) -> Result<Reply> {
    let file = args.read_model()?;
    let artifact =
        far_format::read_within(&file, &args.limits).map_err(|error| model_error(args.model(), error))?;
    Ok(Reply::good(if args.json { format!("{}\n", info::json(&artifact)) } else { info::text(&artifact) }))
}
