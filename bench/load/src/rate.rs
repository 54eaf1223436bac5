//! Load at a fixed rate: each request has a moment at which it is due, whatever became of those before,
//! and its latency counts from there. A proxy that stalls is charged for all who would have waited.

use crate::Outcome;
use crate::http::Answer;
use crate::phase::Phase;
use crate::summary::Latencies;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The timer among the tokens of connections.
const TIMER: u64 = u64::MAX;
const SWEEP: Duration = Duration::from_millis(10);

pub struct Settings {
    address: SocketAddr,
    request: Vec<u8>,
    connections: usize,
    timeout: Duration,
    /// Requests in a second, and for how long.
    phases: Vec<(f64, Duration)>,
}

impl Settings {
    pub fn read(
        address: &str,
        path: &str,
        connections: &str,
        timeout: &str,
        phases: &str,
        headers: &[&str],
    ) -> Result<Settings, Box<dyn std::error::Error>> {
        let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let mut read = Vec::new();
        for phase in phases.split(',') {
            let (rate, seconds) = phase.split_once(':').ok_or("a phase is RATE:SECONDS")?;
            read.push((rate.parse()?, Duration::from_secs_f64(seconds.parse()?)));
        }
        Ok(Settings {
            address: address.parse()?,
            request: format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n{headers}\r\n").into(),
            connections: connections.parse()?,
            timeout: Duration::from_millis(timeout.parse()?),
            phases: read,
        })
    }
}

pub fn run(settings: &Settings) -> Outcome {
    let mut load = Load::new(settings)?;
    load.drive()?;
    let phases: Vec<String> = load.phases.iter_mut().map(Phase::json).collect();
    println!(
        "{{\"phases\": [{}], {}}}",
        phases.join(", "),
        load.lag.json("own_lag_")
    );
    Ok(())
}

struct Load<'a> {
    settings: &'a Settings,
    epoll: OwnedFd,
    timer: OwnedFd,
    connections: Vec<Connection>,
    /// Connections without a request, the one that was used last at the end.
    free: Vec<usize>,
    /// Requests that are due and have no connection.
    waiting: VecDeque<Due>,
    phases: Vec<Phase>,
    /// How late we were ourselves for requests that did not have to wait.
    lag: Latencies,
}

#[derive(Clone, Copy)]
struct Due {
    at: Instant,
    phase: usize,
}

#[derive(Default)]
struct Connection {
    stream: Option<TcpStream>,
    connecting: bool,
    request: Option<Due>,
    answer: Answer,
}

impl<'a> Load<'a> {
    fn new(settings: &'a Settings) -> Result<Load<'a>, Box<dyn std::error::Error>> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN)?;
        let mut load = Load {
            settings,
            epoll,
            timer,
            connections: Vec::new(),
            free: (0..settings.connections).rev().collect(),
            waiting: VecDeque::new(),
            phases: Vec::new(),
            lag: Latencies::default(),
        };
        load.connections
            .resize_with(settings.connections, Connection::default);
        for index in 0..settings.connections {
            load.connect(index)?;
        }
        Ok(load)
    }

    fn drive(&mut self) -> Outcome {
        let mut begin = Instant::now();
        for (phase, &(rate, length)) in self.settings.phases.iter().enumerate() {
            self.phases.push(Phase::new(rate, length, begin));
            let count = (rate * length.as_secs_f64()) as u64;
            for number in 0..count {
                let at = begin + Duration::from_secs_f64(number as f64 / rate);
                self.serve_until(at)?;
                self.due(Due { at, phase });
            }
            begin += length;
            self.serve_until(begin)?;
        }
        let end = Instant::now() + self.settings.timeout;
        while Instant::now() < end && self.free.len() < self.connections.len() {
            self.serve_until((Instant::now() + SWEEP).min(end))?;
        }
        self.sweep(end + self.settings.timeout);
        Ok(())
    }

    /// Take answers until this moment.
    fn serve_until(&mut self, moment: Instant) -> Outcome {
        let mut events = Vec::<Event>::with_capacity(256);
        loop {
            let left = moment.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.arm(left.min(SWEEP))?;
            events.clear();
            epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                None,
            )?;
            for event in &events {
                match event.data.u64() {
                    TIMER => self.sweep(Instant::now()),
                    index => self.ready(index as usize),
                }
            }
        }
    }

    fn arm(&self, after: Duration) -> Outcome {
        let it_value = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(after.subsec_nanos().max(1)),
        };
        let it_interval = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let spec = Itimerspec {
            it_interval,
            it_value,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)?;
        Ok(())
    }

    fn due(&mut self, due: Due) {
        self.phases[due.phase].is_due(due.at);
        match self.free.pop() {
            Some(index) => {
                self.lag.add(due.at.elapsed());
                self.send(index, due);
            }
            None => self.waiting.push_back(due),
        }
    }

    fn send(&mut self, index: usize, due: Due) {
        self.connections[index].request = Some(due);
        let sent = match self.connections[index].stream {
            // It is sent when the connection is there.
            None => self.connect(index),
            Some(_) => self.write(index),
        };
        if sent.is_err() {
            self.phases[due.phase].failed(due.at);
            self.close(index);
        }
    }

    fn write(&mut self, index: usize) -> Outcome {
        if let Some(stream) = &mut self.connections[index].stream {
            stream.write_all(&self.settings.request)?;
        }
        Ok(())
    }

    /// Begin to connect. A full backlog must not keep us from all that is due meanwhile.
    fn connect(&mut self, index: usize) -> Outcome {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        match connect(&socket, &self.settings.address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        let events = EventFlags::IN | EventFlags::OUT;
        epoll::add(
            &self.epoll,
            &stream,
            EventData::new_u64(index as u64),
            events,
        )?;
        self.connections[index].stream = Some(stream);
        self.connections[index].connecting = true;
        Ok(())
    }

    fn connected(&mut self, index: usize) -> Outcome {
        self.connections[index].connecting = false;
        if let Some(stream) = &self.connections[index].stream {
            if let Some(error) = stream.take_error()? {
                return Err(error.into());
            }
            epoll::modify(
                &self.epoll,
                stream,
                EventData::new_u64(index as u64),
                EventFlags::IN,
            )?;
        }
        if self.connections[index].request.is_some() {
            self.write(index)?;
        }
        Ok(())
    }

    fn ready(&mut self, index: usize) {
        if !self.connections[index].connecting {
            return self.readable(index);
        }
        if self.connected(index).is_err() {
            match self.connections[index].request {
                Some(due) => {
                    self.phases[due.phase].failed(due.at);
                    self.close(index);
                }
                None => self.connections[index].stream = None,
            }
        }
    }

    fn readable(&mut self, index: usize) {
        let mut data = [0; 65536];
        let connection = &mut self.connections[index];
        let Some(stream) = &mut connection.stream else {
            return;
        };
        let complete = match stream.read(&mut data) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Ok(length) if length > 0 => connection.answer.take(&data[..length]),
            _ => Err("the connection ended"),
        };
        match (complete, connection.request) {
            (Ok(false), Some(_)) => {}
            (Ok(true), Some(due)) => {
                self.phases[due.phase].answered(due.at, connection.answer.status);
                if connection.answer.closes {
                    self.close(index);
                } else {
                    self.release(index);
                }
            }
            (_, Some(due)) => {
                self.phases[due.phase].failed(due.at);
                self.close(index);
            }
            // An idle connection that the proxy closes is no error; it is opened again when needed.
            (_, None) => connection.stream = None,
        }
    }

    fn close(&mut self, index: usize) {
        self.connections[index].stream = None;
        self.release(index);
    }

    fn release(&mut self, index: usize) {
        self.connections[index].answer = Answer::default();
        self.connections[index].request = None;
        match self.waiting.pop_front() {
            Some(due) => self.send(index, due),
            None => self.free.push(index),
        }
    }

    /// Give up what has waited for too long, as a client would.
    fn sweep(&mut self, now: Instant) {
        let timeout = self.settings.timeout;
        let late = |due: &Due| now.saturating_duration_since(due.at) > timeout;
        while let Some(due) = self.waiting.front().copied().filter(late) {
            self.waiting.pop_front();
            self.phases[due.phase].given_up(due.at);
        }
        for index in 0..self.connections.len() {
            if let Some(due) = self.connections[index].request.filter(late) {
                self.phases[due.phase].given_up(due.at);
                self.close(index);
            }
        }
    }
}
