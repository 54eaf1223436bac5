//! As much of HTTP/1.1 as a client needs to know where an answer ends.

/// An answer on its way.
#[derive(Default)]
pub struct Answer {
    /// What has come and is not understood yet.
    data: Vec<u8>,
    state: State,
    pub status: u16,
    /// The connection ends with this answer.
    pub closes: bool,
}

#[derive(Default)]
enum State {
    #[default]
    Head,
    Length(usize),
    ChunkSize,
    /// What is left of a chunk, with the line end behind it.
    Chunk(usize),
    Trailers,
}

impl Answer {
    /// Take what has come. True when the answer is complete.
    pub fn take(&mut self, data: &[u8]) -> Result<bool, &'static str> {
        self.data.extend_from_slice(data);
        loop {
            match self.state {
                State::Head => {
                    let Some(end) = find(&self.data, b"\r\n\r\n") else {
                        return Ok(false);
                    };
                    let head: Vec<u8> = self.data.drain(..end + 4).collect();
                    self.state = self.head(&head)?;
                }
                State::Length(left) => {
                    let taken = left.min(self.data.len());
                    self.data.drain(..taken);
                    self.state = State::Length(left - taken);
                    return Ok(left == taken);
                }
                State::ChunkSize => {
                    let Some(line) = self.line() else {
                        return Ok(false);
                    };
                    let digits = line.split(';').next().unwrap_or_default().trim();
                    let size = usize::from_str_radix(digits, 16).map_err(|_| "no chunk size")?;
                    self.state = if size == 0 {
                        State::Trailers
                    } else {
                        State::Chunk(size + 2)
                    };
                }
                State::Chunk(left) => {
                    let taken = left.min(self.data.len());
                    self.data.drain(..taken);
                    self.state = if left == taken {
                        State::ChunkSize
                    } else {
                        State::Chunk(left - taken)
                    };
                    if left != taken {
                        return Ok(false);
                    }
                }
                State::Trailers => match self.line() {
                    None => return Ok(false),
                    Some(line) if line.is_empty() => return Ok(true),
                    Some(_) => {}
                },
            }
        }
    }

    fn head(&mut self, head: &[u8]) -> Result<State, &'static str> {
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        self.status = status
            .and_then(|digits| digits.parse().ok())
            .ok_or("no status")?;
        let mut body = None;
        for line in lines {
            match line
                .split_once(':')
                .map(|(name, value)| (name, value.trim()))
            {
                Some(("content-length", value)) => {
                    body = Some(State::Length(value.parse().map_err(|_| "no length")?));
                }
                Some(("transfer-encoding", "chunked")) => body = Some(State::ChunkSize),
                Some(("connection", "close")) => self.closes = true,
                _ => {}
            }
        }
        body.ok_or("an answer without a length")
    }

    fn line(&mut self) -> Option<String> {
        let end = find(&self.data, b"\r\n")?;
        let line: Vec<u8> = self.data.drain(..end + 2).collect();
        Some(String::from_utf8_lossy(&line).trim_end().to_owned())
    }
}

pub fn find(data: &[u8], what: &[u8]) -> Option<usize> {
    data.windows(what.len()).position(|window| window == what)
}
