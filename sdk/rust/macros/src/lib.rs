//! The attribute macro of `tidegate-sdk`. It looks at few tokens and uses no parser, so that a
//! plugin builds in seconds.

#![forbid(unsafe_code)]

use proc_macro::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};

/// Export a plugin: on an `impl Plugin for …` block.
///
/// The component gets `configure` and those phases whose methods are written in the block. Where
/// `type Config` or `fn configure` is missing, the type is its own configuration; where a state's type
/// is missing, it is `()`.
#[proc_macro_attribute]
pub fn plugin(_attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand(item).unwrap_or_else(|message| {
        format!("::core::compile_error!({message:?});")
            .parse()
            .unwrap_or_default()
    })
}

fn expand(item: TokenStream) -> Result<TokenStream, String> {
    let mut tokens: Vec<TokenTree> = item.into_iter().collect();
    let Some(TokenTree::Group(body)) = tokens.pop() else {
        return Err(EXPECTED.to_owned());
    };
    let target = target(&tokens).ok_or(EXPECTED)?;
    let present = Present::scan(&body);

    let phases: Vec<TokenTree> = PHASES
        .iter()
        .filter(|phase| present.has("fn", phase))
        .map(|phase| Ident::new(phase, Span::call_site()).into())
        .collect();
    if phases.is_empty() {
        return Err("a plugin needs a phase: write `fn on_request`, for example".to_owned());
    }
    for (state, phase) in STATES {
        if present.has("type", state) && !present.has("fn", phase) {
            return Err(format!("`type {state}` is of no use without `fn {phase}`"));
        }
    }

    let mut items = body.stream();
    if !present.has("type", "Config") {
        items.extend(parse("type Config = Self;"));
    }
    for (state, _) in STATES {
        if !present.has("type", state) {
            items.extend(parse(&format!("type {state} = ();")));
        }
    }
    if !present.has("fn", "configure") {
        items.extend(parse(CONFIGURE));
    }
    tokens.push(Group::new(Delimiter::Brace, items).into());

    let mut arguments: TokenStream = target.into_iter().collect();
    arguments.extend(parse(","));
    arguments.extend(phases);
    let mut output: TokenStream = tokens.into_iter().collect();
    output.extend(parse("::tidegate_sdk::__export_plugin!"));
    output.extend([TokenTree::Group(Group::new(Delimiter::Brace, arguments))]);
    Ok(output)
}

/// The tokens after `for`: the plugin's type. It has no parameters, so there is no `where`.
fn target(head: &[TokenTree]) -> Option<Vec<TokenTree>> {
    let is = |token: &TokenTree, word| token.to_string() == word;
    let start = head.iter().position(|token| is(token, "impl"))?;
    let at = head.iter().skip(start).position(|token| is(token, "for"))?;
    let target: Vec<_> = head.iter().skip(start + at + 1).cloned().collect();
    (!target.is_empty()).then_some(target)
}

/// The items of the block, as pairs of keyword and name.
struct Present(Vec<(String, String)>);

impl Present {
    fn scan(body: &Group) -> Self {
        let tokens: Vec<String> = body
            .stream()
            .into_iter()
            .filter_map(|token| match token {
                TokenTree::Ident(ident) => Some(ident.to_string()),
                _ => None,
            })
            .collect();
        let pairs = tokens.iter().zip(tokens.iter().skip(1));
        Self(pairs.map(|(a, b)| (a.clone(), b.clone())).collect())
    }

    fn has(&self, keyword: &str, name: &str) -> bool {
        self.0.iter().any(|(a, b)| a == keyword && b == name)
    }
}

/// Texts of this file; they always parse.
fn parse(text: &str) -> TokenStream {
    text.parse().unwrap_or_default()
}

const PHASES: [&str; 10] = [
    "on_request",
    "on_request_body",
    "on_upstream_choice",
    "on_upstream_request",
    "on_response",
    "on_response_body",
    "on_response_trailers",
    "on_reply_body",
    "on_log",
    "on_tick",
];

/// The types that hold what is kept between calls, and the phase that each is for.
const STATES: [(&str, &str); 3] = [
    ("RequestBodyState", "on_request_body"),
    ("ResponseBodyState", "on_response_body"),
    ("ReplyState", "on_reply_body"),
];

const EXPECTED: &str = "#[plugin] belongs on `impl Plugin for YourType { … }`";

const CONFIGURE: &str = "
    fn configure(
        config: Self::Config,
        _: &mut ::tidegate_sdk::Interest,
    ) -> ::core::result::Result<Self, ::std::vec::Vec<::tidegate_sdk::ConfigError>> {
        ::core::result::Result::Ok(config)
    }
";
