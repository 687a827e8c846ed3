//! A small cache of open files, so that reading costs one system call and descriptors stay few.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    sync::{Arc, Mutex},
};

use super::sync::lock;

#[derive(Default)]
struct Cache {
    tick: u64,
    open: BTreeMap<u32, (u64, Arc<File>)>,
}

/// At most `max` open files by number; the one unused for longest is closed first.
pub(super) struct Files {
    max: usize,
    cache: Mutex<Cache>,
}

impl Files {
    pub(super) fn new(max: usize) -> Self {
        Self { max, cache: Mutex::default() }
    }

    /// The file `number`, opened by `open` if it is not open yet.
    pub(super) fn get(&self, number: u32, open: impl FnOnce() -> io::Result<File>) -> io::Result<Arc<File>> {
        let mut cache = lock(&self.cache);
        cache.tick += 1;
        let tick = cache.tick;
        if let Some((used, file)) = cache.open.get_mut(&number) {
            *used = tick;
            return Ok(file.clone());
        }
        let file = Arc::new(open()?);
        if cache.open.len() >= self.max {
            let oldest = cache.open.iter().min_by_key(|(_, (used, _))| *used).map(|(number, _)| *number);
            if let Some(oldest) = oldest {
                cache.open.remove(&oldest);
            }
        }
        cache.open.insert(number, (tick, file.clone()));
        Ok(file)
    }
}
