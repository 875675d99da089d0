//! Lifetimes → offsets in one arena. May import: nothing of ours.

/// Every offset is a multiple of this many bytes.
const ALIGN: u64 = 64;

/// Memory that is needed from one step to another, both included; `None` if never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) bytes: u64,
    pub(super) live: Option<(usize, usize)>,
}

/// Where the areas are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arena {
    /// By area; 0 for those never needed.
    pub(super) offsets: Vec<u64>,
    pub(super) bytes: u64,
}

/// Places the largest area first, each at the lowest offset where it meets no other that lives at the same time.
pub(super) fn assign(areas: &[Area]) -> Arena {
    let mut order: Vec<usize> = (0..areas.len()).filter(|i| areas[*i].live.is_some()).collect();
    order.sort_by_key(|i| (std::cmp::Reverse(areas[*i].bytes), areas[*i].live, *i));
    let mut offsets = vec![0; areas.len()];
    let mut placed: Vec<usize> = Vec::with_capacity(order.len());
    let mut bytes = 0;
    for i in order {
        let size = areas[i].bytes.next_multiple_of(ALIGN);
        let mut taken: Vec<(u64, u64)> = placed
            .iter()
            .filter(|j| meet(areas[i].live, areas[**j].live))
            .map(|j| (offsets[*j], offsets[*j] + areas[*j].bytes.next_multiple_of(ALIGN)))
            .collect();
        taken.sort_unstable();
        let mut at = 0;
        for (start, end) in taken {
            if at + size <= start {
                break;
            }
            at = at.max(end);
        }
        offsets[i] = at;
        bytes = bytes.max(at + size);
        placed.push(i);
    }
    Arena { offsets, bytes }
}

fn meet(a: Option<(usize, usize)>, b: Option<(usize, usize)>) -> bool {
    matches!((a, b), (Some((a0, a1)), Some((b0, b1))) if a0 <= b1 && b0 <= a1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn area(bytes: u64, first: usize, last: usize) -> Area {
        Area { bytes, live: Some((first, last)) }
    }

    #[test]
    fn areas_that_never_live_together_share_memory() {
        let arena = assign(&[area(640, 0, 1), area(640, 2, 3), area(64, 1, 2)]);
        assert_eq!(arena, Arena { offsets: vec![0, 0, 640], bytes: 704 });
    }

    #[test]
    fn an_area_that_nobody_needs_takes_no_memory() {
        assert_eq!(assign(&[Area { bytes: 64, live: None }]).bytes, 0);
    }

    proptest! {
        #[test]
        fn areas_that_live_together_are_apart(
            specs in prop::collection::vec((1u64..2000, 0usize..20, 0usize..6), 1..40)
        ) {
            let areas: Vec<_> = specs.iter().map(|(b, first, len)| area(*b, *first, first + len)).collect();
            let arena = assign(&areas);
            for (i, a) in areas.iter().enumerate() {
                prop_assert_eq!(arena.offsets[i] % ALIGN, 0);
                prop_assert!(arena.offsets[i] + a.bytes <= arena.bytes);
                for (j, b) in areas.iter().enumerate().skip(i + 1) {
                    let apart = arena.offsets[i] + a.bytes <= arena.offsets[j]
                        || arena.offsets[j] + b.bytes <= arena.offsets[i];
                    prop_assert!(apart || !meet(a.live, b.live), "{i} and {j} overlap");
                }
            }
        }
    }
}
