//! Greets the upstream: sets the request field `x-hello`.

use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hello {
    greeting: String,
}

#[plugin]
impl Plugin for Hello {
    fn on_request(&self, request: &mut Request) -> Action {
        request.set_header("x-hello", &self.greeting).ok();
        Action::Proceed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_sdk::testing::{Exchange, Instance};

    #[test]
    fn greets() {
        let mut hello = Instance::<Hello>::configure(r#"{ "greeting": "hi" }"#).unwrap();
        let mut exchange = Exchange::get("/");
        assert_eq!(hello.on_request(&mut exchange), Action::Proceed);
        assert_eq!(exchange.request_header("x-hello").as_deref(), Some("hi"));
    }

    #[test]
    fn a_misspelt_key_is_an_error() {
        let errors = Instance::<Hello>::configure(r#"{ "greating": "hi" }"#).unwrap_err();
        assert_eq!(errors[0].path, "greating");
    }
}
