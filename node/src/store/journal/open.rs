//! Opening a journal: checks the headers, scans every segment, cuts a bad tail, reports damage.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    CutTail, DAMAGES_MAX, Damage, forget,
    format::{FORMAT, HEADER_BYTES, Header, Salt},
    read::Frames,
    scan::{self, Found, Frame},
    segment_number, segment_path,
    write::{NEW, Place, Writer},
};
use crate::store::{
    disk::Disk,
    error::StoreError,
    fold::{FramePosition, Seq},
};

/// One segment on disk.
#[derive(Debug, Clone, Copy)]
struct Segment {
    number: u32,
    /// Neither copy of the header can be read.
    headless: bool,
    /// One copy of the header is damaged.
    scratched: bool,
}

/// An opened journal.
pub(crate) struct Journal {
    dir: PathBuf,
    salt: Salt,
    segments: Vec<Segment>,
    pub frames: Arc<Frames>,
    pub writer: Writer,
    /// Where the next frame goes.
    pub end: FramePosition,
    /// The last segment cannot be appended to (its header is gone): the next frame starts a new one.
    pub must_roll: bool,
    /// Number of the last valid frame; 0 if there is none.
    pub last: Seq,
    /// Number of valid frames.
    pub count: u64,
    pub bytes: u64,
    pub damaged: Vec<Damage>,
    pub damages: u64,
    pub cut_tail: Option<CutTail>,
}

/// All that scanning found, before the tail is cut.
#[derive(Default)]
struct Survey {
    last: Seq,
    count: u64,
    bytes: u64,
    damaged: Vec<Damage>,
    damages: u64,
    tail: Found,
}

impl Survey {
    fn note(&mut self, damage: Damage) {
        self.damages += 1;
        if self.damaged.len() < DAMAGES_MAX {
            self.damaged.push(damage);
        }
    }
}

impl Journal {
    /// Opens the journal in `dir` for the instance with the tag `instance`, or starts it.
    ///
    /// # Errors
    /// [`StoreError`] if the folder cannot be read or written, belongs to another instance, or is of a newer format. Damage is not
    /// an error but reported.
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: PathBuf, instance: [u8; 32]) -> Result<Self, StoreError> {
        fs::create_dir_all(&dir).map_err(StoreError::io(&dir))?;
        let mut numbers = list(&dir).map_err(StoreError::io(&dir))?;
        forget::finish(&dir, &mut numbers).map_err(StoreError::io(&dir))?;
        let (segments, salt) = headers(&dir, instance, &numbers)?;
        let Some(salt) = salt else {
            return Self::start(disk, dir, instance, &segments);
        };
        let mut survey = Survey::default();
        let mut expected = forget::first(&dir);
        for segment in &segments {
            for number in expected..segment.number {
                survey.note(Damage { segment: number, offset: 0, bytes: 0, after: survey.last, before: None });
                if survey.damages >= DAMAGES_MAX as u64 {
                    break;
                }
            }
            expected = segment.number.saturating_add(1);
            survey_segment(&dir, &salt, *segment, Some(segment.number) == numbers.last().copied(), &mut survey)?;
        }
        let last = segments.last().copied().unwrap_or(Segment { number: 0, headless: true, scratched: false });
        let cut_tail = if last.headless { None } else { cut(&dir, last.number, &survey.tail)? };
        let end = FramePosition { segment: last.number, offset: survey.tail.end.max(HEADER_BYTES) };
        let place = Place { disk, dir: dir.clone(), instance, salt };
        let writer = Writer::resume(place, end).map_err(StoreError::io(&dir))?;
        Ok(Self {
            frames: Arc::new(Frames::new(dir.clone(), salt)),
            dir,
            salt,
            writer,
            end,
            must_roll: last.headless,
            last: survey.last,
            count: survey.count,
            bytes: survey.bytes - cut_tail.as_ref().map_or(0, |cut| cut.bytes),
            damaged: survey.damaged,
            damages: survey.damages,
            cut_tail,
            segments,
        })
    }

    /// Starts a journal where there is none. A lone segment too short to hold a frame is none.
    fn start(disk: Arc<dyn Disk>, dir: PathBuf, instance: [u8; 32], segments: &[Segment]) -> Result<Self, StoreError> {
        let mut cut_tail = None;
        for segment in segments {
            let path = segment_path(&dir, segment.number);
            let bytes = fs::metadata(&path).map_err(StoreError::io(&path))?.len();
            if segments.len() > 1 || bytes > HEADER_BYTES {
                return Err(StoreError::Headless { path: dir });
            }
            fs::remove_file(&path).map_err(StoreError::io(&path))?;
            cut_tail = Some(CutTail { segment: segment.number, offset: 0, bytes, zeros: false });
        }
        // The folder itself must be durable before the first frame is.
        let parent = dir.parent().unwrap_or(&dir);
        disk.sync_dir(parent).map_err(StoreError::io(parent))?;
        let mut salt = Salt::default();
        getrandom::fill(&mut salt).map_err(|e| StoreError::io(&dir)(io::Error::other(e.to_string())))?;
        let place = Place { disk, dir: dir.clone(), instance, salt };
        let writer = Writer::create(place, 0).map_err(StoreError::io(&dir))?;
        Ok(Self {
            frames: Arc::new(Frames::new(dir.clone(), salt)),
            dir,
            salt,
            writer,
            end: FramePosition { segment: 0, offset: HEADER_BYTES },
            must_roll: false,
            last: 0,
            count: 0,
            bytes: HEADER_BYTES,
            damaged: Vec::new(),
            damages: 0,
            cut_tail,
            segments: vec![Segment { number: 0, headless: false, scratched: false }],
        })
    }

    /// The journal's salt.
    pub(crate) fn salt(&self) -> Salt {
        self.salt
    }

    /// Number of segments.
    pub(crate) fn segments(&self) -> u64 {
        self.segments.len() as u64
    }

    /// Calls `visit` for each valid frame whose number is above `after`, in order. `from` is the place of the frame `after`, or
    /// `None` to start at the beginning.
    pub(crate) fn replay<E: From<StoreError>>(
        &self,
        from: Option<FramePosition>,
        after: Seq,
        visit: &mut dyn FnMut(Frame<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        struct Stop<E>(Result<E, io::Error>);
        impl<E> From<io::Error> for Stop<E> {
            fn from(e: io::Error) -> Self {
                Self(Err(e))
            }
        }
        let first = from.map_or(0, |at| at.segment);
        let mut last = after;
        for segment in self.segments.iter().filter(|s| s.number >= first) {
            let path = segment_path(&self.dir, segment.number);
            let start = from.filter(|at| at.segment == segment.number).map_or(HEADER_BYTES, |at| at.offset);
            let file = File::open(&path).map_err(StoreError::io(&path))?;
            let mut relay = |frame: Frame<'_>| visit(frame).map_err(|e| Stop(Ok(e)));
            match scan::segment(&file, segment.number, &self.salt, (start, last), &mut relay) {
                Ok(found) => last = found.last,
                Err(Stop(Ok(e))) => return Err(e),
                Err(Stop(Err(e))) => return Err(StoreError::io(&path)(e).into()),
            }
        }
        Ok(())
    }
}

/// Numbers of the segments in `dir`, ascending. Leftovers of a roll that was interrupted are removed: nothing in them counted.
fn list(dir: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == NEW) {
            fs::remove_file(entry.path())?;
        } else if let Some(number) = entry.file_name().to_str().and_then(segment_number) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Reads all headers, and takes the salt from the newest that can be read.
fn headers(dir: &Path, instance: [u8; 32], numbers: &[u32]) -> Result<(Vec<Segment>, Option<Salt>), StoreError> {
    let mut salt = None;
    let mut segments = Vec::with_capacity(numbers.len());
    for number in numbers.iter().copied() {
        let path = segment_path(dir, number);
        let file = File::open(&path).map_err(StoreError::io(&path))?;
        let mut bytes = [0_u8; HEADER_BYTES as usize];
        let read = read_up_to(&file, &mut bytes).map_err(StoreError::io(&path))?;
        let decoded = Header::decode(bytes.get(..read).unwrap_or_default());
        if let Some((header, _)) = decoded {
            if header.version > FORMAT {
                return Err(StoreError::Newer { path, found: header.version, known: FORMAT });
            }
            if header.instance != instance {
                let short = |tag: &[u8; 32]| hex::encode(tag.first_chunk::<8>().map_or(&[][..], |tag| tag));
                return Err(StoreError::Foreign { path, found: short(&header.instance), expected: short(&instance) });
            }
        }
        // A file that ends within its header was cut by something else than this program.
        let header = decoded.filter(|(header, _)| header.segment == number && read as u64 == HEADER_BYTES);
        if let Some((header, _)) = header {
            salt = Some(header.salt);
        }
        segments.push(Segment {
            number,
            headless: header.is_none(),
            scratched: header.is_some_and(|(_, whole)| !whole),
        });
    }
    Ok((segments, salt))
}

/// Reads from the start of the file until `bytes` is full or the file ends.
fn read_up_to(file: &File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, read as u64)? {
            0 => break,
            more => read += more,
        }
    }
    Ok(read)
}

fn survey_segment(
    dir: &Path,
    salt: &Salt,
    segment: Segment,
    is_last: bool,
    survey: &mut Survey,
) -> Result<(), StoreError> {
    let path = segment_path(dir, segment.number);
    let file = File::open(&path).map_err(StoreError::io(&path))?;
    if segment.headless || segment.scratched {
        let after = survey.last;
        survey.note(Damage { segment: segment.number, offset: 0, bytes: HEADER_BYTES, after, before: None });
    }
    let from = (HEADER_BYTES, survey.last);
    let found = scan::segment(&file, segment.number, salt, from, &mut |_| Ok::<(), io::Error>(()))
        .map_err(StoreError::io(&path))?;
    survey.count += found.frames;
    survey.bytes += found.len;
    survey.damages += found.damages;
    let room = DAMAGES_MAX.saturating_sub(survey.damaged.len());
    survey.damaged.extend(found.damaged.iter().take(room).cloned());
    survey.last = found.last;
    if found.len > found.end && (segment.headless || !is_last) {
        // An older segment was synced before the next one was begun: a bad tail there is damage, and stays. So does one without
        // a header, which may be whole under another name.
        let bytes = found.len - found.end;
        survey.note(Damage { segment: segment.number, offset: found.end, bytes, after: found.last, before: None });
    }
    if is_last {
        survey.tail = found;
    }
    Ok(())
}

/// Cuts what follows the last valid frame of the last segment.
fn cut(dir: &Path, segment: u32, tail: &Found) -> Result<Option<CutTail>, StoreError> {
    if tail.len <= tail.end {
        return Ok(None);
    }
    let path = segment_path(dir, segment);
    let file = OpenOptions::new().read(true).write(true).open(&path).map_err(StoreError::io(&path))?;
    let zeros = scan::only_zeros(&file, tail.end).map_err(StoreError::io(&path))?;
    file.set_len(tail.end).and_then(|()| file.sync_all()).map_err(StoreError::io(&path))?;
    Ok(Some(CutTail { segment, offset: tail.end, bytes: tail.len - tail.end, zeros }))
}
