//! Reading the text format of Prometheus.

/// The sum of all series of this name that have these labels: `name` or `name{label="value",…}`.
/// `None` where there is no such series.
pub fn metric(text: &str, wanted: &str) -> Option<f64> {
    let (name, labels) = split(wanted);
    let values: Vec<f64> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (series_name, series_labels) = split(series);
            let fits = series_name == name && labels.iter().all(|one| series_labels.contains(one));
            fits.then(|| value.parse().unwrap())
        })
        .collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

/// The name, and each `label="value"`. Labels in tests have no commas.
fn split(series: &str) -> (&str, Vec<&str>) {
    match series.split_once('{') {
        Some((name, labels)) => {
            let labels = labels.trim_end_matches('}');
            (name, labels.split(',').map(str::trim).collect())
        }
        None => (series, Vec::new()),
    }
}
