//! Session tickets: sealed with keys that nobody else has, and that are thrown away in time.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::crypto::GetRandomFailed;
use rustls::server::ProducesTickets;
use rustls::ticketer::TicketRotator;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A client sends its ticket unencrypted, and whoever has its key can read what was sent under it in
/// TLS 1.2. So keys live no longer than tickets: each seals for half of that time, and opens for the
/// other half.
///
/// # Errors
/// The system gives no random bytes.
pub(super) fn ticketer(life: Duration) -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    let half = u32::try_from(life.as_secs() / 2).unwrap_or(u32::MAX / 2);
    Ok(Arc::new(TicketRotator::new(half.max(1), key)?))
}

fn key() -> Result<Box<dyn ProducesTickets>, GetRandomFailed> {
    let mut bytes = [0; 32];
    let random = SystemRandom::new();
    random.fill(&mut bytes).map_err(|_| GetRandomFailed)?;
    let key = UnboundKey::new(&CHACHA20_POLY1305, &bytes).map_err(|_| GetRandomFailed)?;
    Ok(Box::new(Key {
        key: LessSafeKey::new(key),
        random,
    }))
}

/// One key. A ticket is a nonce and what was sealed with it. Nonces are random, which is safe for 2³²
/// tickets of a key.
struct Key {
    key: LessSafeKey,
    random: SystemRandom,
}

/// A ticket holds a session's secrets and the client's certificates, which a handshake bounds to 64 KiB.
const TICKET_MAX: usize = 128 * 1024;

impl ProducesTickets for Key {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        // The rotator's counts.
        0
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let mut sealed = plain.to_vec();
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::empty(),
                &mut sealed,
            )
            .ok()?;
        Some([&nonce[..], &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > TICKET_MAX {
            return None;
        }
        let (nonce, sealed) = ticket.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let plain = self.key.open_in_place(nonce, Aad::empty(), &mut sealed);
        Some(plain.ok()?.to_vec())
    }
}

/// Without the key.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_ticket_is_opened_by_its_own_key_alone_and_as_it_was() {
        let (ours, others) = (key().unwrap(), key().unwrap());
        let ticket = ours.encrypt(b"session").unwrap();
        assert_eq!(ours.decrypt(&ticket).unwrap(), b"session");
        assert!(others.decrypt(&ticket).is_none());
        for place in 0..ticket.len() {
            let mut forged = ticket.clone();
            forged[place] ^= 1;
            assert!(ours.decrypt(&forged).is_none(), "{place}");
            assert!(ours.decrypt(&ticket[..place]).is_none(), "{place}");
        }
        assert_ne!(ticket, ours.encrypt(b"session").unwrap());
    }

    #[test]
    fn keys_are_thrown_away_in_time() {
        let tickets = ticketer(Duration::from_secs(2)).unwrap();
        let ticket = tickets.encrypt(b"session").unwrap();
        let start = Instant::now();
        while tickets.decrypt(&ticket).is_some() {
            assert!(start.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(start.elapsed() > Duration::from_secs(1));
    }

    #[test]
    fn the_life_of_tickets_is_what_clients_are_told() {
        let day = Duration::from_secs(24 * 3600);
        assert_eq!(ticketer(day).unwrap().lifetime(), 24 * 3600);
    }
}
