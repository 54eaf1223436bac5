//! The filters of the bench for proxies with proxy-wasm: `token` or `upper`, as the configuration says.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

#[derive(Default)]
struct Root {
    upper: bool,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        self.upper = self.get_plugin_configuration().as_deref() == Some(b"upper");
        true
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(if self.upper {
            Box::new(Upper)
        } else {
            Box::new(Token)
        })
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Token;

impl Context for Token {}

impl HttpContext for Token {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        if self.get_http_request_header("x-token").as_deref() != Some("secret") {
            self.send_http_response(403, vec![], None);
            return Action::Pause;
        }
        self.set_http_request_header("x-bench", Some("1"));
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.set_http_response_header("x-bench", Some("1"));
        Action::Continue
    }
}

struct Upper;

impl Context for Upper {}

impl HttpContext for Upper {
    fn on_http_response_body(&mut self, size: usize, _: bool) -> Action {
        if let Some(mut body) = self.get_http_response_body(0, size) {
            body.make_ascii_uppercase();
            self.set_http_response_body(0, size, &body);
        }
        Action::Continue
    }
}
