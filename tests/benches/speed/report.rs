//! Figures and the table of them.

/// Load of the machine now: runnable processes over 1 minute.
pub fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}

struct Row {
    name: String,
    unit: &'static str,
    values: Vec<f64>,
    note: String,
    load: String,
}

/// What was measured so far.
pub struct Report {
    rows: Vec<Row>,
}

/// The middle one, and the two ends.
pub fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |i: usize| sorted.get(i).copied().unwrap_or(f64::NAN);
    (at(sorted.len() / 2), at(0), at(sorted.len().saturating_sub(1)))
}

impl Report {
    /// Nothing yet.
    pub fn start() -> Self {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        eprintln!("bench: {} cores, load {}", cores, load());
        Self { rows: Vec::new() }
    }

    /// Adds a figure, and shows it at once.
    pub fn row(&mut self, name: &str, unit: &'static str, values: &[f64], note: &str) {
        let row = Row { name: name.to_owned(), unit, values: values.to_vec(), note: note.to_owned(), load: load() };
        eprintln!("bench: {}", line(&row));
        self.rows.push(row);
    }

    /// Prints the table.
    pub fn print(&self) {
        println!("{:<44} {:>3} {:>10} {:>21} {:<6} {:>5}  note", "what", "n", "median", "min-max", "unit", "load");
        for row in &self.rows {
            println!("{}", line(row));
        }
    }
}

fn line(row: &Row) -> String {
    let (median, min, max) = spread(&row.values);
    let range = format!("{min:.2}-{max:.2}");
    let Row { name, unit, note, load, values } = row;
    format!("{name:<44} {:>3} {median:>10.2} {range:>21} {unit:<6} {load:>5}  {note}", values.len())
}
