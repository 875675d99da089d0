//! Where the numbers and lists of a section are, as SPEC.md has them; as far as the section can be followed.

/// A number.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    at: usize,
    bytes: usize,
}

impl Field {
    pub(crate) fn get(self, section: &[u8]) -> u64 {
        let mut word = [0; 8];
        word[..self.bytes].copy_from_slice(&section[self.at..][..self.bytes]);
        u64::from_le_bytes(word)
    }

    pub(crate) fn set(self, section: &mut [u8], value: u64) {
        section[self.at..][..self.bytes].copy_from_slice(&value.to_le_bytes()[..self.bytes]);
    }
}

/// A list: where its count is, and from where to where each item goes.
pub(crate) struct List {
    pub(crate) count_at: usize,
    pub(crate) items: Vec<(usize, usize)>,
}

/// Those of a section.
#[derive(Default)]
pub(crate) struct Fields {
    pub(crate) fields: Vec<Field>,
    pub(crate) lists: Vec<List>,
}

impl Fields {
    pub(crate) fn of_plan(section: &[u8]) -> Fields {
        Walk::over(section, Walk::plan)
    }

    pub(crate) fn of_meta(section: &[u8]) -> Fields {
        Walk::over(section, Walk::meta)
    }
}

struct Walk<'s> {
    section: &'s [u8],
    at: usize,
    found: Fields,
}

/// `None`: it goes no further.
type Go = Option<()>;

impl<'s> Walk<'s> {
    fn over(section: &'s [u8], all: fn(&mut Walk<'s>) -> Go) -> Fields {
        let mut walk = Walk { section, at: 0, found: Fields::default() };
        let _ = all(&mut walk);
        walk.found
    }

    fn number(&mut self, bytes: usize) -> Option<u64> {
        let field = Field { at: self.at, bytes };
        self.section.get(self.at..self.at + bytes)?;
        self.at += bytes;
        self.found.fields.push(field);
        Some(field.get(self.section))
    }

    fn u8(&mut self) -> Option<u64> {
        self.number(1)
    }

    fn u32s(&mut self, count: usize) -> Go {
        (0..count).try_for_each(|_| self.number(4).map(drop))
    }

    fn string(&mut self) -> Go {
        self.at += self.number(4)? as usize;
        (self.at <= self.section.len()).then_some(())
    }

    fn option(&mut self, inner: impl FnOnce(&mut Self) -> Go) -> Go {
        if self.u8()? == 1 { inner(self) } else { Some(()) }
    }

    fn list(&mut self, item: impl Fn(&mut Self) -> Go) -> Go {
        let count_at = self.at;
        let count = self.number(4)?;
        let mut items = Vec::new();
        for _ in 0..count.min(4096) {
            let start = self.at;
            item(self)?;
            items.push((start, self.at));
        }
        self.found.lists.push(List { count_at, items });
        Some(())
    }

    fn operands(&mut self, count: usize) -> Go {
        self.u32s(5 * count)
    }

    fn port(&mut self) -> Go {
        self.string()?;
        self.u8()?;
        self.list(|walk| if walk.u8()? == 0 { walk.u32s(1) } else { Some(()) })
    }

    fn plan(&mut self) -> Go {
        self.number(8)?;
        self.u32s(2)?;
        self.u8()?;
        self.option(|walk| walk.u32s(1))?;
        self.list(|walk| {
            let offset = walk.u8()? < 2;
            walk.number(if offset { 8 } else { 4 })?;
            walk.u32s(3)?;
            walk.u8().map(drop)
        })?;
        self.list(Walk::port)?;
        self.list(Walk::port)?;
        self.list(|walk| {
            walk.string()?;
            walk.step()
        })
    }

    fn step(&mut self) -> Go {
        match self.u8()? {
            1 => {
                self.operands(2)?;
                self.option(|walk| walk.operands(1))?;
                self.u8()?;
                self.u8()?;
                self.list(|walk| {
                    walk.u32s(4)?;
                    walk.number(8).map(drop)
                })
            }
            2 => {
                self.operands(2)?;
                self.u8()?;
                self.list(|walk| {
                    walk.u32s(3)?;
                    walk.u8()?;
                    walk.number(8).map(drop)
                })
            }
            3 => {
                self.operands(2)?;
                self.u32s(1)?;
                self.option(|walk| walk.number(8).map(drop))
            }
            4 => {
                self.operands(4)?;
                self.u32s(2)?;
                self.number(8).map(drop)
            }
            5 => self.u32s(5 + 3 + 5),
            6 => {
                self.u8()?;
                self.operands(2)
            }
            7 => self.operands(3),
            8 | 9 => self.operands(2),
            10 => {
                self.u32s(1)?;
                self.number(8)?;
                self.u32s(1)?;
                self.u8()?;
                self.operands(1)
            }
            11 => {
                self.operands(2)?;
                self.u32s(1)
            }
            _ => None,
        }
    }

    fn meta(&mut self) -> Go {
        self.string()?;
        self.string()?;
        self.string()?;
        self.list(|walk| {
            walk.string()?;
            walk.string()
        })?;
        self.option(|walk| {
            walk.u32s(1)?;
            walk.list(Walk::string)
        })?;
        self.option(|walk| {
            walk.u32s(1)?;
            walk.u8()?;
            walk.u8()?;
            match walk.u8()? {
                1 => walk.u32s(1)?,
                2 => walk.u8().map(drop)?,
                _ => {}
            }
            walk.u8()?;
            walk.u32s(1)?;
            walk.list(|walk| walk.u32s(2))
        })
    }
}
