//! Types and functions as text that is the same in every version of the package, where they are the same.

use wit_parser::{
    Function, Handle, InterfaceId, PackageId, Resolve, Type, TypeDef, TypeDefKind, TypeId,
    TypeOwner,
};

/// Writes what belongs to one package; names of this package have no version.
#[derive(Clone, Copy)]
pub(crate) struct Signatures<'a> {
    pub(crate) resolve: &'a Resolve,
    pub(crate) package: PackageId,
}

impl Signatures<'_> {
    /// `func(name: string) -> result<_, types.error>`
    pub(crate) fn function(self, function: &Function) -> String {
        let asynchronous = if function.kind.is_async() {
            "async "
        } else {
            ""
        };
        let parameters = function.params.iter();
        let parameters: Vec<String> = parameters
            .map(|parameter| format!("{}: {}", parameter.name, self.of(&parameter.ty)))
            .collect();
        let result = function.result.as_ref();
        let result = result.map_or(String::new(), |result| format!(" -> {}", self.of(result)));
        format!("{asynchronous}func({}){result}", parameters.join(", "))
    }

    /// What the name of a type stands for, without its members: those are [`members`](Self::members).
    pub(crate) fn definition(self, id: TypeId) -> String {
        match &self.resolve.types[id].kind {
            TypeDefKind::Record(_) => "record".to_owned(),
            TypeDefKind::Variant(_) => "variant".to_owned(),
            TypeDefKind::Enum(_) => "enum".to_owned(),
            TypeDefKind::Flags(_) => "flags".to_owned(),
            TypeDefKind::Resource => "resource".to_owned(),
            kind => format!("type {}", self.anonymous(kind)),
        }
    }

    /// The fields of a record, the cases of a variant or an enum, the names of flags.
    pub(crate) fn members(self, id: TypeId) -> Vec<String> {
        match &self.resolve.types[id].kind {
            TypeDefKind::Record(record) => {
                let fields = record.fields.iter();
                fields
                    .map(|field| format!("{}: {}", field.name, self.of(&field.ty)))
                    .collect()
            }
            TypeDefKind::Variant(variant) => {
                let cases = variant.cases.iter();
                cases
                    .map(|case| match &case.ty {
                        Some(payload) => format!("{}({})", case.name, self.of(payload)),
                        None => case.name.clone(),
                    })
                    .collect()
            }
            TypeDefKind::Enum(cases) => cases.cases.iter().map(|case| case.name.clone()).collect(),
            TypeDefKind::Flags(flags) => flags.flags.iter().map(|flag| flag.name.clone()).collect(),
            _ => Vec::new(),
        }
    }

    /// `request`, or with package and version where it is of another package.
    pub(crate) fn interface(self, id: InterfaceId) -> String {
        let interface = &self.resolve.interfaces[id];
        let foreign = interface.package != Some(self.package);
        match (&interface.name, self.resolve.id_of(id)) {
            (_, Some(full)) if foreign => full,
            (Some(name), _) => name.clone(),
            (None, _) => "(inline)".to_owned(),
        }
    }

    fn of(self, of: &Type) -> String {
        let primitive = match of {
            Type::Id(id) => return self.reference(*id),
            Type::Bool => "bool",
            Type::U8 => "u8",
            Type::U16 => "u16",
            Type::U32 => "u32",
            Type::U64 => "u64",
            Type::S8 => "s8",
            Type::S16 => "s16",
            Type::S32 => "s32",
            Type::S64 => "s64",
            Type::F32 => "f32",
            Type::F64 => "f64",
            Type::Char => "char",
            Type::String => "string",
            Type::ErrorContext => "error-context",
        };
        primitive.to_owned()
    }

    /// The name of a type where it is declared (`types.error`, however it came here), or what it is.
    fn reference(self, id: TypeId) -> String {
        let TypeDef {
            name, kind, owner, ..
        } = &self.resolve.types[id];
        if let TypeDefKind::Type(Type::Id(origin)) = kind {
            return self.reference(*origin);
        }
        match (name, owner) {
            (Some(name), TypeOwner::Interface(interface)) => {
                format!("{}.{name}", self.interface(*interface))
            }
            (Some(name), TypeOwner::World(world)) => {
                format!("{}.{name}", self.resolve.worlds[*world].name)
            }
            _ => self.anonymous(kind),
        }
    }

    fn anonymous(self, kind: &TypeDefKind) -> String {
        let optional = |of: &Option<Type>| of.as_ref().map_or("_".to_owned(), |of| self.of(of));
        match kind {
            TypeDefKind::Type(of) => self.of(of),
            TypeDefKind::Option(of) => format!("option<{}>", self.of(of)),
            TypeDefKind::List(of) => format!("list<{}>", self.of(of)),
            TypeDefKind::FixedLengthList(of, length) => format!("list<{}, {length}>", self.of(of)),
            TypeDefKind::Map(key, value) => format!("map<{}, {}>", self.of(key), self.of(value)),
            TypeDefKind::Result(result) => {
                format!(
                    "result<{}, {}>",
                    optional(&result.ok),
                    optional(&result.err)
                )
            }
            TypeDefKind::Tuple(tuple) => {
                let types: Vec<String> = tuple.types.iter().map(|of| self.of(of)).collect();
                format!("tuple<{}>", types.join(", "))
            }
            TypeDefKind::Handle(Handle::Own(id)) => self.reference(*id),
            TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", self.reference(*id)),
            TypeDefKind::Future(of) => format!("future<{}>", optional(of)),
            TypeDefKind::Stream(of) => format!("stream<{}>", optional(of)),
            // These have names.
            TypeDefKind::Record(_)
            | TypeDefKind::Resource
            | TypeDefKind::Flags(_)
            | TypeDefKind::Variant(_)
            | TypeDefKind::Enum(_)
            | TypeDefKind::Unknown => kind.as_str().to_owned(),
        }
    }
}
