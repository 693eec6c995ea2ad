export default { title: 'Bees', baseUrl: '/bees/', i18n: { defaultLocale: 'en', locales: ['en', 'fr'] } };
