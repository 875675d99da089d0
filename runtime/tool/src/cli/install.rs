//! `far install`: puts a model in its place on the board, so that the place always holds a whole one. May import: `far_tool`,
//! `far_engine`.

use far_engine::Model;
use far_tool::json::Json;
use far_tool::{Result, install};

use super::Reply;
use super::args::{Args, model_error};

pub(crate) fn run(args: &Args) -> Result<Reply> {
    let bytes = super::read(args.model())?;
    Model::from_bytes(&bytes).map_err(|error| model_error(args.model(), error))?;
    let place = install::place(args.model(), args.target());
    install::write(&place, &bytes)?;
    let (file, size) = (place.display().to_string(), bytes.len());
    let json = || Json::Object(vec![("file", file.as_str().into()), ("bytes", size.into())]);
    Ok(Reply::good(if args.json {
        format!("{}\n", json())
    } else {
        format!("installed `{file}`, {size} bytes\n")
    }))
}
