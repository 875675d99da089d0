//! `far install`: puts a model in its place on the board, so that the place always holds a whole one. May import: `far_tool`,
//! `far_engine`.

use far_engine::{Model, ModelOptions};
use far_tool::json::Json;
use far_tool::{Result, install};

use super::Reply;
use super::args::{Args, model_error};

pub(crate) fn run(args: &Args) -> Result<Reply> {
    let bytes = args.read_model()?;
    let signed = args.verify(&bytes)?;
    let signatures = install::signatures(args.model())?;
    let options = ModelOptions { limits: args.limits, ..ModelOptions::default() };
    Model::from_bytes_with(&bytes, &options).map_err(|error| model_error(args.model(), error))?;
    let place = install::place(args.model(), args.target());
    install::replace(&place, &bytes, &signatures)?;
    let (file, size) = (place.display().to_string(), bytes.len());
    let json = || {
        let signed = signed.map_or(Json::Null, |key| Json::Text(key.to_string()));
        let count = signatures.len().into();
        Json::Object(vec![
            ("file", file.as_str().into()),
            ("bytes", size.into()),
            ("signatures", count),
            ("signed_by", signed),
        ])
    };
    let with = match (signed, signatures.len()) {
        (Some(key), _) => format!(", signed by {key}"),
        (None, 0) => String::new(),
        (None, _) => ", and its signatures, which nobody checked".into(),
    };
    Ok(Reply::good(if args.json {
        format!("{}\n", json())
    } else {
        format!("installed `{file}`, {size} bytes{with}\n")
    }))
}
