export default { base: '/quilt', integrations: [starlight({ title: 'Quilt', locales: { root: { lang: 'en' }, de: {} } })] };
