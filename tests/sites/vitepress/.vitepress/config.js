export default { title: 'Ferry', cleanUrls: true, themeConfig: { nav: [{ text: 'Guide', link: '/guide/' }] } }
