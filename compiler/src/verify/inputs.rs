//! Where a verification's inputs come from: a seed, or the user. May import: `verify`'s types, `error`.

use far_format::plan::Port;

use super::{Given, Options, Sample};
use crate::error::{Error, ErrorKind, Result};

/// Seeded runs unless the options say how many.
const SAMPLES: usize = 4;

/// At least one sample.
pub(super) fn samples(ports: &[Port], options: &Options) -> Result<Vec<Sample>> {
    let samples = if options.inputs.is_empty() {
        seeded(ports, options.seed, options.samples.unwrap_or(SAMPLES))
    } else {
        given(ports, &options.inputs, options.samples.unwrap_or(usize::MAX))?
    };
    if samples.is_empty() {
        return Err(Error::new(ErrorKind::BadInput, "nothing to compare")
            .expected("1 sample or more")
            .got("none"));
    }
    Ok(samples)
}

fn seeded(ports: &[Port], seed: u64, count: usize) -> Vec<Sample> {
    let mut rng = fastrand::Rng::with_seed(seed);
    // Twelve uniforms: mean 6, variance 1, close to normal.
    let mut normal = || (0..12).map(|_| rng.f32()).sum::<f32>() - 6.0;
    (0..count)
        .map(|_| ports.iter().map(|port| (0..port.elements(1, 0)).map(|_| normal()).collect()).collect())
        .collect()
}

fn given(ports: &[Port], inputs: &[Given], most: usize) -> Result<Vec<Sample>> {
    let mut by_port: Vec<Option<Vec<Vec<f32>>>> = vec![None; ports.len()];
    for input in inputs {
        let index = match &input.name {
            Some(name) => ports.iter().position(|port| port.name == *name),
            None => by_port.iter().position(Option::is_none),
        };
        let index = index.ok_or_else(|| no_such_input(ports, input))?;
        if by_port[index].is_some() {
            return Err(Error::new(
                ErrorKind::BadInput,
                format!("input `{}` is given twice", ports[index].name),
            ));
        }
        by_port[index] = Some(cut(&ports[index], input)?);
    }
    let mut all = Vec::new();
    for (port, values) in ports.iter().zip(by_port) {
        all.push(values.ok_or_else(|| {
            Error::new(ErrorKind::BadInput, format!("input `{}` is missing", port.name))
                .hint("give all inputs, or none for seeded ones")
        })?);
    }
    let count = all.first().map_or(0, Vec::len);
    if let Some((port, other)) = ports.iter().zip(&all).find(|(_, values)| values.len() != count) {
        return Err(Error::new(
            ErrorKind::BadInput,
            format!("input `{}` has another number of samples", port.name),
        )
        .expected(count.to_string())
        .got(other.len().to_string()));
    }
    let sample = |i: usize| all.iter().map(|values| values[i].clone()).collect();
    Ok((0..count.min(most)).map(sample).collect())
}

fn no_such_input(ports: &[Port], input: &Given) -> Error {
    let names: Vec<String> = ports.iter().map(|port| format!("`{}`", port.name)).collect();
    let got = input.name.as_ref().map_or_else(|| "one more".to_owned(), |name| format!("`{name}`"));
    Error::new(ErrorKind::BadInput, "no such input").expected(names.join(", ")).got(got)
}

/// Cuts an array into samples: of the port's own shape, or with a leading dimension of any size where that is 1.
fn cut(port: &Port, input: &Given) -> Result<Vec<Vec<f32>>> {
    let dims: Vec<usize> = port.dims.iter().map(|d| d.of(1, 0)).collect();
    let shape = input.values.shape();
    let fits =
        shape == dims || (dims.first() == Some(&1) && shape.len() == dims.len() && shape[1..] == dims[1..]);
    if !fits {
        return Err(Error::new(ErrorKind::BadInput, format!("input `{}` has another shape", port.name))
            .expected(format!("{dims:?}"))
            .got(format!("{shape:?}")));
    }
    let values: Vec<f32> = input.values.iter().copied().collect();
    Ok(values.chunks_exact(port.elements(1, 0).max(1)).map(<[f32]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use far_format::plan::{Dim, Dtype};
    use ndarray::ArrayD;

    fn ports() -> Vec<Port> {
        vec![port("a", &[1, 2]), port("b", &[3])]
    }

    fn port(name: &str, dims: &[u32]) -> Port {
        let dims = dims.iter().copied().map(Dim::Fixed).collect();
        Port { name: name.into(), dtype: Dtype::F32, dims }
    }

    fn input(name: Option<&str>, shape: &[usize]) -> Given {
        let len = shape.iter().product::<usize>();
        let values = ArrayD::from_shape_vec(shape, (0..len).map(|v| v as f32).collect()).expect("fits");
        Given { name: name.map(Into::into), values }
    }

    fn with(inputs: Vec<Given>) -> Result<Vec<Sample>> {
        samples(&ports(), &Options { inputs, ..Options::default() })
    }

    #[test]
    fn seeds_repeat() {
        let make = |seed, count| {
            samples(&ports(), &Options { seed, samples: Some(count), ..Options::default() }).expect("valid")
        };
        assert_eq!(make(1, 3), make(1, 3));
        assert_ne!(make(1, 3), make(2, 3));
        assert_eq!(make(1, 3).len(), 3);
        let many: Vec<f32> = make(9, 2000).into_iter().flatten().flatten().collect();
        let mean = many.iter().sum::<f32>() / many.len() as f32;
        let variance = many.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / many.len() as f32;
        assert!(mean.abs() < 0.05 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }

    #[test]
    fn given_inputs_are_cut_into_samples() {
        let one = with(vec![input(Some("b"), &[3]), input(None, &[1, 2])]).expect("valid");
        assert_eq!(one, [[vec![0.0, 1.0], vec![0.0, 1.0, 2.0]]]);
        let single = [port("a", &[1, 2])];
        let options = Options { inputs: vec![input(None, &[3, 2])], samples: Some(2), ..Options::default() };
        let two = samples(&single, &options).expect("valid");
        assert_eq!(two, [[vec![0.0, 1.0]], [vec![2.0, 3.0]]]);
    }

    #[test]
    fn inputs_that_dont_fit_are_errors() {
        for inputs in [
            vec![input(Some("c"), &[1])],
            vec![input(None, &[1, 2])],
            vec![input(None, &[1, 2]), input(Some("a"), &[1, 2])],
            vec![input(None, &[1, 2]), input(None, &[3]), input(None, &[3])],
            vec![input(None, &[2, 2]), input(None, &[3])],
            vec![input(None, &[1, 3]), input(None, &[3])],
            vec![input(None, &[0, 2]), input(None, &[3])],
        ] {
            let shapes: Vec<_> = inputs.iter().map(|i| (i.name.clone(), i.values.shape().to_vec())).collect();
            assert_eq!(with(inputs).expect_err("does not fit").kind, ErrorKind::BadInput, "{shapes:?}");
        }
    }
}
