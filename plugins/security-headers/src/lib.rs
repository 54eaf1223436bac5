//! Set the response fields that make browsers careful, and remove those that tell too much.
//!
//! All values are known when the plugin is configured. The response phase leaves out what the upstream
//! has set itself; where nothing of it counts, the host makes the edits without a call.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod policy;
#[cfg(test)]
mod tests;
mod transport;

use policy::Policy;
use tidegate_sdk::prelude::*;
use transport::TransportSecurity;

/// What the route's `config` holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Values for what is not given here.
    preset: Option<Preset>,
    hsts: Option<TransportSecurity>,
    content_security_policy: Option<String>,
    content_security_policy_report_only: Option<String>,
    content_type_options: Option<String>,
    frame_options: Option<String>,
    referrer_policy: Option<String>,
    permissions_policy: Option<String>,
    cross_origin_opener_policy: Option<String>,
    cross_origin_embedder_policy: Option<String>,
    cross_origin_resource_policy: Option<String>,
    /// Fields of the preset that are left out.
    #[serde(default)]
    omit: Vec<String>,
    /// Fields to remove.
    #[serde(default = "talkative")]
    remove: Vec<String>,
    /// Whether to replace what the upstream has set.
    #[serde(default, rename = "override")]
    overrides: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Preset {
    Strict,
    Compatible,
}

/// The plugin.
pub struct SecurityHeaders {
    fields: Vec<(&'static str, String)>,
    transport: Option<Transport>,
    remove: Vec<String>,
    overrides: bool,
}

struct Transport {
    value: String,
    /// In responses by HTTP, too.
    force: bool,
}

const TRANSPORT: &str = "strict-transport-security";

#[plugin]
impl Plugin for SecurityHeaders {
    type Config = Config;

    fn configure(config: Config, interest: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        let fields = fields(&config)?;
        let transport = transport(&config)?;
        check_omitted(&config)?;
        check_removed(&config.remove)?;
        if fields.is_empty() && transport.is_none() && config.remove.is_empty() {
            let message = "expected `preset`, a field to set, or `remove`";
            return Err(ConfigError::at("", message).into());
        }
        let plugin = Self {
            fields,
            transport,
            remove: config.remove,
            overrides: config.overrides,
        };
        if plugin.is_fixed() {
            interest.edit_response(&plugin.edits(&[], true))?;
        }
        Ok(plugin)
    }

    fn on_response(&self, response: &mut Response) -> Action {
        let present = match self.overrides {
            true => Vec::new(),
            false => response.header_names(),
        };
        let secure = response.request().scheme() == "https";
        match response.edit(&self.edits(&present, secure)) {
            Ok(()) => Action::Proceed,
            // No room in the head.
            Err(_) => Action::Fail,
        }
    }
}

impl SecurityHeaders {
    /// Whether all responses get the same.
    fn is_fixed(&self) -> bool {
        let transport = self.transport.as_ref();
        self.overrides && transport.is_none_or(|transport| transport.force)
    }

    /// The edits of a response that has these fields, by https or not.
    fn edits(&self, present: &[String], secure: bool) -> Edits {
        let is_removed = |name: &str| self.remove.iter().any(|one| one.eq_ignore_ascii_case(name));
        let is_absent = |name: &str| !present.iter().any(|one| one == name) || is_removed(name);
        let mut edits = Edits::new();
        for name in &self.remove {
            edits.remove(name);
        }
        for (name, value) in &self.fields {
            if is_absent(name) {
                edits.set(*name, value.as_str());
            }
        }
        if let Some(transport) = &self.transport
            && is_absent(TRANSPORT)
            // RFC 6797 §7.2: never by HTTP.
            && (transport.force || secure)
        {
            edits.set(TRANSPORT, transport.value.as_str());
        }
        edits
    }
}

impl Config {
    /// Each field with its key and its value.
    fn policies(&self) -> [(&'static str, &Option<String>, Policy); 9] {
        [
            (
                "content_security_policy",
                &self.content_security_policy,
                policy::CONTENT_SECURITY_POLICY,
            ),
            (
                "content_security_policy_report_only",
                &self.content_security_policy_report_only,
                policy::CONTENT_SECURITY_POLICY_REPORT_ONLY,
            ),
            (
                "content_type_options",
                &self.content_type_options,
                policy::CONTENT_TYPE_OPTIONS,
            ),
            ("frame_options", &self.frame_options, policy::FRAME_OPTIONS),
            (
                "referrer_policy",
                &self.referrer_policy,
                policy::REFERRER_POLICY,
            ),
            (
                "permissions_policy",
                &self.permissions_policy,
                policy::PERMISSIONS_POLICY,
            ),
            (
                "cross_origin_opener_policy",
                &self.cross_origin_opener_policy,
                policy::OPENER_POLICY,
            ),
            (
                "cross_origin_embedder_policy",
                &self.cross_origin_embedder_policy,
                policy::EMBEDDER_POLICY,
            ),
            (
                "cross_origin_resource_policy",
                &self.cross_origin_resource_policy,
                policy::RESOURCE_POLICY,
            ),
        ]
    }

    fn omits(&self, name: &str) -> bool {
        self.omit
            .iter()
            .any(|omitted| omitted.eq_ignore_ascii_case(name))
    }
}

/// The fields to set, checked; those of the preset where there is no other value.
fn fields(config: &Config) -> Result<Vec<(&'static str, String)>, Vec<ConfigError>> {
    let (mut fields, mut errors) = (Vec::new(), Vec::new());
    for (key, value, policy) in config.policies() {
        let of_preset = match config.preset {
            Some(Preset::Strict) => policy.strict,
            Some(Preset::Compatible) => policy.compatible,
            None => None,
        };
        let of_preset = of_preset.filter(|_| !config.omits(policy.name));
        if let Some(value) = value {
            match (policy.check)(value) {
                Ok(()) => fields.push((policy.name, value.clone())),
                Err(message) => errors.push(ConfigError::at(key, message)),
            }
        } else if let Some(value) = of_preset {
            fields.push((policy.name, value.to_owned()));
        }
    }
    if errors.is_empty() {
        Ok(fields)
    } else {
        Err(errors)
    }
}

fn transport(config: &Config) -> Result<Option<Transport>, ConfigError> {
    let of_preset = config.preset.filter(|_| !config.omits(TRANSPORT));
    let of_preset = of_preset.map(|preset| match preset {
        Preset::Strict => TransportSecurity::strict(),
        Preset::Compatible => TransportSecurity::compatible(),
    });
    let Some(settings) = config.hsts.as_ref().or(of_preset.as_ref()) else {
        return Ok(None);
    };
    Ok(Some(Transport {
        value: settings.value()?,
        force: settings.force,
    }))
}

/// Whatever is left out is in a preset.
fn check_omitted(config: &Config) -> Result<(), ConfigError> {
    let policies = config.policies();
    for (index, name) in config.omit.iter().enumerate() {
        let mut known = policies
            .iter()
            .map(|(_, _, policy)| policy.name)
            .chain([TRANSPORT]);
        if !known.any(|known| known.eq_ignore_ascii_case(name)) {
            let message = format!("`{name}` is not a field of the presets");
            return Err(ConfigError::at(format!("omit.{index}"), message));
        }
    }
    Ok(())
}

/// Names (RFC 9110 §5.1) that the proxy does not keep for itself.
fn check_removed(names: &[String]) -> Result<(), ConfigError> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let own = [
        "connection",
        "content-length",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    for (index, name) in names.iter().enumerate() {
        let message = if name.is_empty() || !name.bytes().all(token) {
            format!("`{name}` is not a header field name")
        } else if own.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            format!("`{name}` is managed by the proxy and cannot be changed")
        } else {
            continue;
        };
        return Err(ConfigError::at(format!("remove.{index}"), message));
    }
    Ok(())
}

fn talkative() -> Vec<String> {
    ["server", "x-powered-by"].map(str::to_owned).into()
}
